"""The house keeps its own rules: sizes, docstrings, mirrors, floors, imports that stay cheap."""

import ast
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("rankspace", "services", "tests", "benchmarks", "protos", "deploy", "docs", ".ci")
LINES_MAX = 300
FUNCTION_LINES_MAX = 50

MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|farm|root|home|Users)/[A-Za-z.]")
REGISTRY_HOST = re.compile(r"files\.pythonhosted|pypi\.org/simple|registry\.npmjs|deb\.debian")
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\b(?:ghp|hf|sk)_\w{30,}")


def written() -> Iterator[Path]:
    """Every file that people write, generated code and built-in data left out."""
    yield from (
        path for path in ROOT.iterdir() if path.is_file() and path.name != "requirements.lock"
    )
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            generated = "_pb2" in path.name or "__pycache__" in path.parts
            if path.is_file() and not generated:
                yield path


MODULES = {
    # Read and parsed before any test runs: CPython's parser may fail while other threads parse too.
    path: (path.read_text("utf-8"), ast.parse(path.read_bytes()))
    for path in sorted(written())
    if path.suffix == ".py"
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def in_a_fresh_process(code: str) -> str:
    """What this code prints in an interpreter that has imported nothing of ours."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_says_what_it_is_and_fits_in_the_head(path: Path) -> None:
    source, tree = MODULES[path]
    assert ast.get_docstring(tree), "no module docstring"
    lines = source.count("\n")
    assert lines <= LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


def test_test_folders_mirror_packages() -> None:
    rooms = {"e2e", "fuzz", "golden", "robustness"}
    for folder in (ROOT / "tests").iterdir():
        if folder.is_dir() and folder.name not in rooms | {"__pycache__"}:
            homes = [ROOT / folder.name, ROOT / "rankspace" / folder.name]
            assert any(home.is_dir() for home in homes), f"tests/{folder.name} mirrors nothing"


def test_no_file_names_a_machine_a_registry_or_a_secret() -> None:
    for path in written():
        if b"\0" in (data := path.read_bytes()):
            continue
        text = data.decode("utf-8", "replace")
        for pattern in (MACHINE_PATH, REGISTRY_HOST, SECRET):
            found = pattern.search(text)
            assert found is None, f"{named(path)}: {found}"


def test_every_module_has_its_floor_and_imports_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_floor_is_left_open() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    floors = [
        contract
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and "containers" in contract
    ]
    assert len(floors) == 3
    assert all(contract["exhaustive"] for contract in floors)


def test_importing_the_package_is_free() -> None:
    code = "import time; t = time.perf_counter(); import rankspace; print(time.perf_counter() - t)"
    assert min(float(in_a_fresh_process(code)) for _ in range(3)) < 0.1


@pytest.mark.parametrize(
    "module",
    ["rankspace.media.sample", "rankspace.codecs.base", "rankspace.store.log", "services.cli"],
)
def test_what_needs_no_network_imports_neither_torch_nor_ray(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'ray'}} & set(sys.modules)))"
    assert in_a_fresh_process(code) == ""


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        in_a_fresh_process(
            "from services.cli import main; import sys; sys.argv[1:] = ['--help']; main()"
        )
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 0.5
