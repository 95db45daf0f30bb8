"""The dashboard and the table of metrics name what a running server exports, and all of it."""

import json
import re
from pathlib import Path
from typing import Any

from services.telemetry import metrics
from tests.services.gateway.test_metrics import asked, get, serving
from tests.services.parrot import ParrotEngine

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "dashboards" / "rankspace.json"
NAME = re.compile(r"\b(?:rankspace|process)_[a-z_]+")
ROW = re.compile(r"^\| (rankspace_\w+) \| (\w+) \| ([^|]*) \| (.+) \|$", re.MULTILINE)


def expressions() -> list[str]:
    """Everything that the dashboard asks Prometheus."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    targets = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return targets + [
        variable["query"]["query"]
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    ]


async def test_every_metric_on_the_dashboard_is_exported_by_a_server_that_runs(
    engine: ParrotEngine,
) -> None:
    async with serving(engine) as (_, page):
        _, body = await asked(page, get())
    exported = {line.split(" ")[2] for line in body.splitlines() if line.startswith("# TYPE")}
    kinds = dict(line.split(" ")[2:4] for line in body.splitlines() if line.startswith("# TYPE"))
    for expression in expressions():
        for name in NAME.findall(expression):
            family = name.removesuffix("_bucket")
            assert family in exported, name
            assert (kinds[family] == "histogram") == name.endswith("_bucket"), name
            rated = "rate(" in expression
            assert rated == (kinds[family] != "gauge") or "label_values(" in expression, expression


def test_every_metric_is_on_the_dashboard_by_labels_that_it_has() -> None:
    asked_of = {
        metric.name: [text for text in expressions() if re.search(rf"\b{metric.name}", text)]
        for metric in metrics.KNOWN
    }
    for metric in metrics.KNOWN:
        assert asked_of[metric.name], metric.name
        for text in asked_of[metric.name]:
            wanted = set(re.findall(r"\b(\w+)[!=]~?=?\"", text))
            for group in re.findall(r"\bby \(([^)]*)\)", text):
                wanted |= {word.strip() for word in group.split(",")}
            assert wanted <= {*metric.labels, "instance", "le"}, text


def test_panels_do_not_lie_on_each_other() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_table_of_metrics_is_the_one_that_is_kept() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    kept = {
        metric.name: (metric.kind.lower(), ", ".join(metric.labels) or "–", metric.meaning)
        for metric in metrics.KNOWN
    }
    assert {name: tuple(rest) for name, *rest in ROW.findall(page)} == kept
