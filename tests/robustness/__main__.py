"""`python -m tests.robustness`: what `make robustness` runs."""

import os

# PostgreSQL is started beside open channels: gRPC's handlers of a fork must leave the child alone.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import typer

from tests.robustness.run import main

typer.run(main)
