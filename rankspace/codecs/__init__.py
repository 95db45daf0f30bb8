"""Media to symbols and back, one modality a file."""
