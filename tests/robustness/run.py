"""`make robustness`: campaign after campaign for as long as you like, then the seeded bugs.

Every campaign has a seed of its own, drawn from the first one, and takes a random set of faults.
The table says what was done and what came of it; a campaign that failed keeps its folder.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tests.postgres import MISSING, Postgres, binaries, running
from tests.robustness.bugs import BUGS, hunt
from tests.robustness.campaign import Plan, Report, campaign
from tests.robustness.cast import CASTS
from tests.robustness.faults import FAULTS, OF_ONE, OF_TWO, POSSIBLE, SHARED
from tests.robustness.server import TREE

HUNT_S = 120.0
SHARE = 0.35
"""Campaigns with two servers on a database."""

ALONE = frozenset({*OF_ONE, "damage", "none"})
NO_COMPILER = "install a C compiler (cc)"


def main(
    seconds: Annotated[float, typer.Option(help="How long campaigns go on.")] = 60.0,
    seed: Annotated[int, typer.Option(help="0: another one at each run.")] = 0,
    faults: Annotated[str, typer.Option(help="Names with commas; empty: all.")] = "",
    casts: Annotated[str, typer.Option(help="Names with commas; empty: some each time.")] = "",
    tree: Annotated[Path, typer.Option(help="The copy of the product to test.")] = TREE,
    longest: Annotated[float, typer.Option(help="Seconds of one campaign at most.")] = 20.0,
    until_failure: Annotated[bool, typer.Option(help="Stop at the first that fails.")] = False,
    bugs: Annotated[bool, typer.Option(help="Then look for every seeded bug.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Where failures are kept.")] = None,
) -> None:
    """Run campaigns and print what came of them."""
    seed = seed or random.SystemRandom().randrange(1, 1 << 31)
    folder = keep or Path(tempfile.mkdtemp(prefix="robustness-"))
    possible = (*POSSIBLE, "damage", *(OF_TWO if binaries() else []))
    names = tuple(faults.split(",")) if faults else possible
    typer.echo(f"seed {seed}, faults {' '.join(names)}")
    for name in sorted(FAULTS.keys() - {*possible}):
        typer.echo(f"without {name}: {MISSING if name in OF_TWO else NO_COMPILER}")
    reports = []
    with ExitStack() as stack:
        database = (
            stack.enter_context(contextmanager(running)()) if OF_TWO.intersection(names) else None
        )
        some = tuple(casts.split(",")) if casts else ()
        bases = (Plan(folder, seed, longest, casts=some, tree=tree), database)
        for report in _campaigns(seconds, names, bases):
            reports.append(report)
            if until_failure and report.violations:
                break
    _print(reports)
    missed = _hunts(folder) if bugs else 0
    if missed or any(report.violations for report in reports):
        typer.echo(f"histories, stores and logs of what failed: {folder}")
        raise typer.Exit(1)
    if keep is None:
        shutil.rmtree(folder)


def _campaigns(
    seconds: float, names: tuple[str, ...], bases: tuple[Plan, Postgres | None]
) -> Iterator[Report]:
    """Campaigns like the first base; those that restart the database are on the second."""
    base, database = bases
    chance = random.Random(base.seed)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        number = chance.randrange(1 << 31)
        shared = database if _of_two(names, chance) else None
        possible = [name for name in names if name in (SHARED if shared else ALONE)]
        some = tuple(chance.sample(possible, chance.randint(1, len(possible))))
        casts = base.casts or tuple(chance.sample(CASTS, chance.randint(1, len(CASTS))))
        if "usurp" in some and "streams" not in casts:
            casts = ("streams", *casts)
        plan = replace(
            base,
            folder=base.folder / str(number),
            seed=number,
            seconds=min(base.seconds, max(1.0, left)),
            casts=casts,
            faults=some,
            postgres=shared,
        )
        report = asyncio.run(campaign(plan))
        if not report.violations:
            shutil.rmtree(plan.folder)
        _line(report)
        yield report


def _of_two(names: tuple[str, ...], chance: random.Random) -> bool:
    """Whether two servers shall share a database this time."""
    if ALONE.isdisjoint(names):
        return True
    return not OF_TWO.isdisjoint(names) and chance.random() < SHARE


def _hunts(folder: Path) -> int:
    """Look for every seeded bug; how many were missed."""
    missed = 0
    typer.echo("\n| bug | fault | caught after | by |\n| --- | --- | ---: | --- |")
    for bug in BUGS:
        catch = hunt(bug, folder / "bug", HUNT_S)
        missed += not catch.violation
        law = catch.violation.split(": ")[1] if catch.violation.count(": ") else catch.violation
        after = f"{catch.seconds:.0f} s" if catch.violation else "missed"
        typer.echo(f"| {bug.name}: {bug.what} | {bug.faults or 'clients'} | {after} | {law} |")
    return missed


def _line(report: Report) -> None:
    done = " ".join(f"{name} {count}" for name, count in sorted(report.faults.items()))
    verdict = f"{len(report.violations)} violations" if report.violations else "kept"
    who = "+".join(report.plan.casts)
    typer.echo(f"{report.plan.seed:>10}  {report.seconds:5.1f} s  {verdict}: {who}: {done}")
    for violation in report.violations[:10]:
        typer.echo(f"{'':10}  {violation}")


def _print(reports: list[Report]) -> None:
    faults, operations = Counter[str](), Counter[tuple[str, str]]()
    for report in reports:
        faults += report.faults
        operations += report.operations
    typer.echo("\n| fault | times |\n| --- | ---: |")
    for name, count in sorted(faults.items()):
        typer.echo(f"| {name} | {count} |")
    typer.echo("\n| operation | outcome | times |\n| --- | --- | ---: |")
    for (kind, outcome), count in sorted(operations.items()):
        typer.echo(f"| {kind} | {outcome} | {count:,} |")
    failed = sum(bool(report.violations) for report in reports)
    samples = sum(report.samples for report in reports)
    typer.echo(f"\n{len(reports)} campaigns, {samples:,} samples in the end, {failed} failed")
