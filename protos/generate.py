"""Write the Python form of every .proto file into the package of the same name.

Run from the repository root: `python protos/generate.py`. The result is committed, and
tests/test_generated.py fails when it is stale.
"""

import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent
PLUGINS = Path(sysconfig.get_path("scripts"))  # of this environment, whatever PATH says


def generate(out: Path) -> None:
    """Compile all protos; `rankspace/v1/x.proto` becomes `out/rankspace/v1/x_pb2*`."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet:{out}",
            *sources,
        ]
    )
    if code:
        sys.exit(code)


if __name__ == "__main__":
    generate(PROTOS.parent)
