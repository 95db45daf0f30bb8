"""Untrusted bytes to bounded arrays and back."""
