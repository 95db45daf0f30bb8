"""The front door: one gRPC server, and what every call meets before a service sees it."""
