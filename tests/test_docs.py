"""What the pages say is so: their code runs, commands and links lead somewhere, promises hold."""

import ast
import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import rankspace
import services
from rankspace.config import Config
from services.cli.app import app
from services.config import server_config

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def configs(root: type[Config] = Config) -> Iterator[type[Config]]:
    """Every config there is, once all modules are imported."""
    for child in root.__subclasses__():
        if child.__module__.split(".")[0] in {"rankspace", "services"}:
            yield child
        yield from configs(child)


@pytest.fixture(scope="module")
def _everything_is_imported() -> None:
    for package in (rankspace, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


@pytest.mark.usefixtures("_everything_is_imported")
def test_every_setting_is_explained() -> None:
    silent = [
        f"{kind.__module__}.{kind.__name__}.{name}"
        for kind in configs()
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert silent == []


@pytest.mark.usefixtures("_everything_is_imported")
def test_every_limit_stands_in_operations_with_its_default() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    stated = set(re.findall(r"^\| `([\w.]+)` \| ([^ |]+)", page, re.MULTILINE))
    settings = {
        (f"{kind.__name__}.{name}", str(field.default))
        for kind in configs()
        for name, field in kind.model_fields.items()
    }
    limits = {(name, default) for name, default in settings if name.endswith(("_max", "_s_min"))}
    stated = {(name, default.replace(",", "")) for name, default in stated}
    assert sorted(limits - stated) == []
    assert sorted(stated - settings) == []


def test_every_promise_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/guarantees.md").read_text("utf-8")
    promises = page.split("\n## What is not promised")[0].split("\n### ")[1:]
    assert promises
    for promise in promises:
        held_by = TEST.findall(promise)
        assert held_by, f"no test holds {promise.splitlines()[0]!r}"
        for file, test in held_by:
            tree = ast.parse((ROOT / file).read_text("utf-8"))
            names = {node.name for node in ast.walk(tree) if hasattr(node, "name")}
            assert test in names, f"{file} has no {test}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    for benchmark in re.findall(r"make bench NAME=(\w+)", text):
        assert (ROOT / "benchmarks" / f"{benchmark}.py").exists(), benchmark
    for line in re.findall(r"^(?:\w+=\S+ )*rankspace ([a-z].*)", text, re.MULTILINE):
        assert_known(shlex.split(line, comments=True))


def assert_known(words: list[str]) -> None:
    """The command line has this command with these options."""
    command: Any = typer.main.get_command(app)
    options = set()
    for word in words:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
        options |= {name for param in command.params for name in param.opts}
        assert not word.startswith("-") or word in options, f"{word} of {command.name}"
    assert not hasattr(command, "commands"), f"{words} names no command"


def test_the_tree_in_the_readme_is_the_tree() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    tree = readme.split("## The tree")[1].split("```")[1]
    modules = {
        module.name.rsplit(".", 1)[1]
        for package in (rankspace, services)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.startswith("rankspace.v1.")
    }
    drawn = set(re.findall(r"\b(\w+)(?:\.py|/)", tree))
    assert sorted(modules - drawn) == []
    folders = ("rankspace", "services", "protos", "tests")
    files = {path.stem for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert sorted(set(re.findall(r"\b(\w+)\.py", tree)) - files) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"`(tests/[\w/.]+?)(?:::\w+)?`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_the_server_that_others_can_reach_has_settings_that_are_right() -> None:
    config = server_config(ROOT / "deploy/server.toml", {})
    assert config.gateway.certificate
    assert config.gateway.key
