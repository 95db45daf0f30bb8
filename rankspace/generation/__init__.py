"""Live answers: sessions over a trained network, any modality in, any out."""
