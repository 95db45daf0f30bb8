"""Untrusted media are decoded here: in processes that can do nothing else and may die of it.

`decoding.py` asks them over a socket, with the media in shared memory; `worker.py` is one of them.
"""
