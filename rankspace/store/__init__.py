"""What is kept: samples, blobs, snapshots, token caches, jobs and models."""
