"""The demo: the built-in sample, the story it tells the server, and the figures it ends with."""
