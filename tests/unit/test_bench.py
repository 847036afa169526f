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
from bench.people import fill as people_fill
from bench.people import plan as people_plan
from bench.people import shapes as people_shapes
from bench.people.plan import QUIET_CONVERSATIONS
from bench.people.run import People
from marketplace_api.boot import connection_url
from marketplace_api.database.engines import Databases
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
    url: str, configured: tuple[application.WsgiApp, CurrentDatabases], api_databases: Databases
) -> Iterator[application.WsgiApp]:
    wsgi, current = configured
    current.target = api_databases
    yield wsgi


@pytest.fixture
def people(
    configured: tuple[application.WsgiApp, CurrentDatabases], committed_databases: Databases, api_databases: Databases
) -> Iterator[People]:
    """A database with a few messages, and the application on it."""
    url = connection_url(committed_databases)
    assert people_fill.fill(url, SIZE)
    wsgi, current = configured
    current.target = api_databases
    with floor.connection(url) as bare:
        yield People(SIZE, wsgi, bare)


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
    _reports(results, tmp_path, monkeypatch, [shape.title for shape in shapes.SHAPES])


def _results(sizes: dict[str, Any], people: dict[str, Any] | None = None) -> dict[str, Any]:
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
        "people": people or {},
        "http": {"size": SIZE, "runs": runs},
        "failures": [{"part": "some", "why": "not today"}],
    }
    results["targets"] = targets.judge(results)
    return results


def _reports(results: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, titles: list[str]) -> None:
    monkeypatch.setattr(report, "DOCUMENT", folder / "docs" / "performance.md")
    console = Console(record=True, width=170, quiet=True)
    report.show(console, results)
    report.write_document(results)
    text = report.DOCUMENT.read_text()
    report.DOCUMENT.write_text(text + "A finding.\n")
    report.write_document(results)
    assert report.DOCUMENT.read_text() == text + "A finding.\n", "what is written by hand stays"
    assert all(title in text for title in titles)
    assert report.write_json(results, folder).exists()


def test_every_dealing_of_people_is_measured_and_reported(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(measure, "WARM_UP", 1)
    for shape in people_shapes.SHAPES:
        drawn = people_shapes.requests(shape, people.plan, people.bare, people.callers, values=3)
        assert drawn == people_shapes.requests(shape, people.plan, people.bare, people.callers, values=3)
        measured = people.shape(shape, SECONDS, values=3)
        assert measured.statements >= 2, "the session, and what was asked for"
        found[shape.name] = measured.as_json()
    policies = {shape.name: people.policies(shape, SECONDS, values=3) for shape in people_shapes.SHAPES[:2]}
    assert all(told["ratio"] > 0 for told in policies.values())
    told = {"shapes": found, "policies": policies, "authentication": people.authentication(SECONDS, values=3)}
    assert told["authentication"]["first_use"] > 0

    results = _results({}, people={"10000": told, "1000000": told})
    names = {goal["name"] for goal in results["targets"]}
    assert "Send a message, p99 at 1,000,000 messages" in names
    assert "Send a message, over the floor (10,000 messages)" not in names, "for reads alone"
    _reports(results, tmp_path, monkeypatch, [shape.title for shape in people_shapes.SHAPES])


def test_the_filled_counters_are_what_the_triggers_would_have_counted(people: People) -> None:
    """Nothing differs when the rows are counted anew; triggers and keys were off while they went in."""
    for statement in _DIFFERENT:
        assert people.bare.execute(statement).fetchall() == [], statement
    found = people.bare.execute("SELECT count(*), max(message_id) FROM messages").fetchone()
    assert found == (SIZE, SIZE)
    counts = "SELECT user_id, current_count, archived_count FROM inboxes WHERE user_id = ANY(%s) ORDER BY user_id"
    one, other = people.plan.busy[0], people.plan.quiet[0]
    assert people.bare.execute(counts, [[one, other]]).fetchall() == [
        (one, people.plan.busy_conversations, 0),
        (other, QUIET_CONVERSATIONS, 0),
    ]


_DIFFERENT = (
    "SELECT * FROM conversation_sides AS side WHERE (message_count, unread_count, last_message_id) <> ("
    " SELECT count(*), count(*) FILTER (WHERE receiver_id = side.user_id AND message_id > side.read_through),"
    " max(message_id) FROM messages WHERE conversation_id = side.conversation_id)",
    "SELECT * FROM conversations AS one WHERE (last_message_id, last_message_preview, timestamp_updated) <> ("
    "SELECT message_id, CASE WHEN length(content) > 140 THEN left(content, 139) || '…' ELSE content END,"
    " timestamp_sent FROM messages WHERE conversation_id = one.conversation_id ORDER BY message_id DESC LIMIT 1)",
    "SELECT * FROM messages WHERE NOT EXISTS (SELECT FROM conversation_sides AS side"
    " WHERE side.conversation_id = messages.conversation_id AND user_id = sender_id AND other_id = receiver_id)",
    "SELECT * FROM inboxes AS box WHERE (unread_count, current_count + archived_count) <> ("
    " SELECT sum(unread_count), count(*) FROM conversation_sides WHERE user_id = box.user_id)",
    "SELECT listing_id FROM listings AS one WHERE (rating_count, rating_sum) <> ("
    " SELECT count(*), coalesce(sum(rating), 0) FROM reviews WHERE listing_id = one.listing_id)",
    "SELECT listing_id FROM listings WHERE rating_count <> (SELECT sum(bar) FROM unnest(rating_histogram) AS bar)",
    "SELECT review_id FROM reviews JOIN listings USING (listing_id) WHERE reviewer_id = listings.user_id",
    "SELECT message_id FROM messages LEFT JOIN listings USING (listing_id)"
    " WHERE messages.listing_id IS NOT NULL AND listings.listing_id IS NULL",
)


def test_what_the_floor_writes_is_committed_under_new_ids(people: People) -> None:
    first = next(shape for shape in people_shapes.SHAPES if shape.name == "first_message")
    request = people_shapes.requests(first, people.plan, people.bare, people.callers, values=1)[0]
    call = people.callers.call(request.target, request.caller, request.method, request.body)
    call()  # opens the connection
    people.bare.execute(request.before)
    with floor.recorded() as sent:
        status, _ = call()
    assert status == "201 Created"
    people.bare.execute(request.before)
    floor.WriteReplay(people.bare)(sent)
    newest = "SELECT conversation_id, sender_id FROM messages WHERE message_id > %s"
    ((conversation, sender),) = people.bare.execute(newest, [SIZE]).fetchall()
    assert sender == request.caller
    assert conversation > len(people_plan.conversations(people.plan, 7)) + 2, "that of the recording is gone"


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
