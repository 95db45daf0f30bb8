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
from pathlib import Path
from typing import Annotated

import typer

from tests.robustness.campaign import Plan, Report, campaign
from tests.robustness.faults import FAULTS, POSSIBLE
from tests.robustness.server import TREE

LONGEST_S = 20.0


def main(
    seconds: Annotated[float, typer.Option(help="How long campaigns go on.")] = 60.0,
    seed: Annotated[int, typer.Option(help="0: another one at each run.")] = 0,
    faults: Annotated[str, typer.Option(help="Names with commas; empty: all.")] = "",
    tree: Annotated[Path, typer.Option(help="The copy of the product to test.")] = TREE,
    keep: Annotated[Path | None, typer.Option(help="Where failures are kept.")] = None,
) -> None:
    """Run campaigns and print what came of them."""
    seed = seed or random.SystemRandom().randrange(1, 1 << 31)
    folder = keep or Path(tempfile.mkdtemp(prefix="robustness-"))
    names = tuple(faults.split(",")) if faults else POSSIBLE
    typer.echo(f"seed {seed}, faults {' '.join(names)}")
    for name in FAULTS.keys() - {*POSSIBLE}:
        typer.echo(f"without {name}: install a C compiler (cc)")
    reports = list(_campaigns(seconds, seed, names, (tree, folder)))
    _print(reports)
    if any(report.violations for report in reports):
        typer.echo(f"histories, stores and logs of what failed: {folder}")
        raise typer.Exit(1)
    if keep is None:
        shutil.rmtree(folder)


def _campaigns(
    seconds: float, seed: int, names: tuple[str, ...], places: tuple[Path, Path]
) -> list[Report]:
    chance, reports = random.Random(seed), list[Report]()
    tree, folder = places
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        number = chance.randrange(1 << 31)
        some = tuple(chance.sample(names, chance.randint(1, len(names))))
        plan = Plan(folder / str(number), number, min(LONGEST_S, max(3.0, left)), some, tree)
        report = asyncio.run(campaign(plan))
        reports.append(report)
        if not report.violations:
            shutil.rmtree(plan.folder)
        _line(report)
    return reports


def _line(report: Report) -> None:
    done = " ".join(f"{name} {count}" for name, count in sorted(report.faults.items()))
    verdict = f"{len(report.violations)} violations" if report.violations else "kept"
    typer.echo(f"{report.plan.seed:>10}  {report.seconds:5.1f} s  {verdict}: {done}")
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


if __name__ == "__main__":
    typer.run(main)
