"""The benchmark still runs: every kind of request on a small database, for an instant. Nothing is timed here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import __main__ as command
from bench import application, fill, floor, http, machine, measure, report, shapes, targets
from marketplace_api.boot import connection_url
from marketplace_api.db import Databases
from tests.conftest import CurrentDatabases

SIZE = 400
SECONDS = 0.01


@pytest.fixture
def url(committed_databases: Databases) -> str:
    """A database with a few listings like those that are measured."""
    url = connection_url(committed_databases)
    assert fill.fill(url, SIZE)
    return url


@pytest.fixture
def app(
    url: str, configured: tuple[application.WsgiApp, CurrentDatabases], committed_databases: Databases
) -> Iterator[application.WsgiApp]:
    wsgi, current = configured
    current.target = committed_databases
    yield wsgi
    committed_databases.dispose()


def test_every_shape_is_measured_and_reported(
    url: str, app: application.WsgiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(measure, "WARM_UP", 1)
    with floor.connection(url) as bare:
        for shape in shapes.SHAPES:
            drawn = shapes.targets(shape, bare, app, values=3)
            assert drawn == shapes.targets(shape, bare, app, values=3), "another draw of the same seed"
            measured = measure.measure(app, bare, drawn, SECONDS)
            assert measured.statements >= 1
            assert measured.ours.count > 0
            found[shape.name] = measured.as_json()

    results = _results({str(SIZE): {"shapes": found}})
    assert [goal["name"] for goal in results["targets"]]
    _reports(results, tmp_path, monkeypatch)


def _results(sizes: dict[str, Any]) -> dict[str, Any]:
    workloads = {
        shape.name: {"per_second": 900.0, "per_cpu_second": 1000.0, "p50": 1.0, "p99": 2.0, "database_cpu_ms": 0.1}
        for shape in http.WORKLOADS
    }
    runs = [
        {
            "contestant": one.name,
            "family": one.family,
            "workers": 1,
            "workloads": workloads,
            "memory": {"peak_process_mb": 100.0, "total_mb": 120.0, "processes": 2},
        }
        for one in http.CONTESTANTS
    ]
    results: dict[str, Any] = {
        "began": "2026-11-01T00:00:00+00:00",
        "commit": machine.commit()[0],
        "changed": False,
        "load": 0.0,
        "machine": machine.describe(),
        "conditions": application.CONDITIONS,
        "seconds": SECONDS,
        "sizes": sizes,
        "http": {"size": SIZE, "runs": runs},
        "failures": [{"part": "some", "why": "not today"}],
    }
    results["targets"] = targets.judge(results)
    return results


def _reports(results: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "DOCUMENT", folder / "docs" / "performance.md")
    console = Console(record=True, width=170, quiet=True)
    report.show(console, results)
    report.write_document(results)
    text = report.DOCUMENT.read_text()
    report.DOCUMENT.write_text(text + "A finding.\n")
    report.write_document(results)
    assert report.DOCUMENT.read_text() == text + "A finding.\n", "what is written by hand stays"
    assert all(shape.title in text for shape in shapes.SHAPES)
    assert report.write_json(results, folder).exists()


def test_recording_sees_prepared_and_ordinary_statements(url: str, app: application.WsgiApp) -> None:
    with floor.connection(url) as bare:
        item = shapes.targets(shapes.ITEM, bare, app, values=1)[0]
        statements = measure.statements_of(app, item)
        assert len(statements) == 1
        assert statements[0].parameters["listing_id"] == int(item.rpartition("/")[2])
        assert b'"title"' in floor.Replay(bare)(statements)


def test_a_request_that_fails_is_not_measured(url: str, app: application.WsgiApp) -> None:
    with floor.connection(url) as bare, pytest.raises(measure.WrongAnswerError, match="404"):
        measure.measure(app, bare, ["/api/listings/999999999"], SECONDS)


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert measure.percentile(values, 0.5) == 50
    assert measure.percentile(values, 0.99) == 99
    assert measure.percentile([7.0], 0.99) == 7


def test_targets_say_by_how_much_they_are_missed() -> None:
    results = _results({"10000": {"shapes": {"item": {"ratio": 4.5}, "newest": {"ratio": 2.0}}}})
    goals = {goal["name"]: goal for goal in results["targets"]}
    missed = goals["Item read, in process, over the floor (10,000 listings)"]
    assert (missed["reached"], missed["share"]) == (False, 1.5)
    assert goals["Newest, page 1, in process, over the floor (10,000 listings)"]["reached"]
    assert goals["Peak memory (RSS) of one API process"]["reached"]


def test_a_part_that_fails_leaves_the_others_their_numbers(tmp_path: Path) -> None:
    run = command.Run(command.parse(["--quick", "--data", str(tmp_path)]), Console(quiet=True), _NoProgress())  # type: ignore[arg-type]

    def fail() -> None:
        raise RuntimeError("no wrk here")

    run.results["sizes"]["10000"] = {"shapes": {}}
    run.part("over HTTP", fail)
    assert run.results["failures"] == [{"part": "over HTTP", "why": "RuntimeError: no wrk here"}]
    assert run.path.exists()
    assert not run.is_whole


class _NoProgress:
    def add_task(self, *_: Any, **__: Any) -> int:
        return 0

    def remove_task(self, _task: int) -> None:
        """Nothing is shown."""


@pytest.mark.parametrize("arguments", [["--shapes", "nonsense"], ["--skip", "nonsense"], ["--workers", "9"]])
def test_a_misspelt_option_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(arguments)


def test_the_chart_is_drawn_where_matplotlib_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "CHART", tmp_path / "chart.png")
    assert report.draw_chart(_results({})) == (find_spec("matplotlib") is not None)
