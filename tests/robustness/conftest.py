"""The suite starts processes beside open channels: gRPC must leave their forks alone."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
