"""Counts become a prior, a prior becomes an order, an order turns symbols into ranks and back."""
