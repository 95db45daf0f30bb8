"""Self-hosted multimodal streams: ingest, learn, answer in any modality.

Importing this imports nothing.
"""
