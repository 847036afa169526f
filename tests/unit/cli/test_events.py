"""`events`: the log looked at, narrowed and taken out."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import audit
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from tests.factories.accounts import make_user

Run = Callable[..., Result]


@pytest.fixture
def log(committed_databases: Databases) -> list[int]:
    """Ids of ada and of four events: two about listing 12, one about bob, one with what could steer a terminal."""
    with committed_databases.session() as session:
        ada, bob = make_user(session, username="ada"), make_user(session, username="bob")
        session.flush()
        actor = Actor(ada.user_id, reason="helps us", request_id="r-1")
        done = [
            record(session, actor, EventType.LISTING_CREATED, 12, new={"title": "x" * 300}),
            record(
                session,
                actor,
                EventType.LISTING_STATUS_CHANGED,
                12,
                previous={"status": "draft", "same": 1},
                new={"status": "active", "same": 1},
                on_behalf_of=bob.user_id,
            ),
            record(session, Actor(username="operator"), EventType.USER_SUSPENDED, bob.user_id, previous={"gone": 1}),
            record(session, actor, EventType.LISTING_EDITED, 13, new={"title": "\x1b[2J\nboo"}),
        ]
        session.commit()
        return [ada.user_id, *(event.event_id for event in done)]


def _ids(result: Result) -> list[int]:
    assert result.exit_code == 0, result.output
    return [row["event_id"] for row in json.loads(result.stdout)]


def test_the_newest_come_last(run: Run, log: list[int]) -> None:
    _, created, changed, suspended, edited = log
    assert _ids(run("--json", "events", "tail")) == [created, changed, suspended, edited]
    assert _ids(run("--json", "events", "tail", "--limit", "2")) == [suspended, edited]
    assert _ids(run("--json", "events", "tail", "--type", "listing.created")) == [created]
    assert _ids(run("--json", "events", "tail", "--type", "listing.*")) == [created, changed, edited]
    assert _ids(run("--json", "events", "tail", "--type", "user")) == [suspended]
    assert _ids(run("--json", "events", "tail", "--actor", "ada", "--subject", "listing:12")) == [created, changed]
    assert _ids(run("--json", "events", "tail", "--subject", "user:bob")) == [suspended]
    assert _ids(run("--json", "events", "tail", "--since", "1h")) == log[1:]
    assert _ids(run("--json", "events", "tail", "--until", "2020-01-01")) == []


def test_a_line_says_who_did_what_to_what_and_why(run: Run, log: list[int]) -> None:
    ada = log[0]
    told = run("events", "tail").stdout
    created, changed, suspended, edited = told.splitlines()[1:]
    assert f"ada ({ada}) for bob (" in changed
    assert re.match(r"[0-9-]{10} [0-9:]{8}\+00:00 ", changed), "a time says of which zone it is"
    assert "status: draft → active" in changed and "same" not in changed
    assert changed.rstrip().endswith("helps us")
    assert "x…" in created and "x" * 100 not in created
    assert "operator" in suspended and "gone: 1 →" in suspended
    assert "\x1b" not in told and "boo" in edited
    whole = json.loads(run("--json", "events", "tail", "--type", "listing.created").stdout)[0]
    assert whole["new"] == {"title": "x" * 300}
    assert (whole["actor_id"], whole["reason"], whole["request_id"]) == (ada, "helps us", "r-1")


def test_one_event_is_shown_whole(run: Run, log: list[int]) -> None:
    shown = json.loads(run("--json", "events", "show", str(log[2])).stdout)
    assert shown["previous"] == {"status": "draft", "same": 1}
    assert "listing.status_changed" in run("events", "show", str(log[2])).stdout
    assert run("events", "show", "987654").exit_code == 3


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--type", "listing.create"), 2, "listing.created"),
        (("--type", "listings.*"), 2, "listing.created, "),
        (("--type", "nonsense"), 2, "events.md"),
        (("--since", "1h", "--until", "2h"), 2, "must be later than --since"),
        (("--subject", "12"), 2, "KIND:ID"),
        (("--subject", "car:12"), 2, "KIND:ID"),
        (("--subject", "listing:ada"), 2, "no id"),
        (("--subject", "user:nobody"), 3, "nobody"),
        (("--actor", "nobody"), 3, "nobody"),
        (("--since", "soon"), 2, "2026-11-01"),
    ],
)
def test_what_is_not_understood_is_told(run: Run, words: tuple[str, ...], code: int, told: str) -> None:
    result = run("events", "tail", *words)
    assert result.exit_code == code
    assert result.stdout == ""
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_the_log_is_taken_out(run: Run, log: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WALK", 3)
    told = run("events", "export")
    assert [json.loads(line)["event_id"] for line in told.stdout.splitlines()] == log[1:]
    assert told.stderr == "4 events.\n"

    file = tmp_path / "events.jsonl"
    done = run("--json", "events", "export", "--type", "listing.edited", "--to", str(file))
    assert json.loads(done.stdout) == {"events": 1, "file": str(file)}
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["event_id"] == log[4]
    assert file.stat().st_mode & 0o077 == 0

    assert run("events", "export", "--to", str(file)).exit_code == 4
    assert run("--yes", "events", "export", "--to", str(file)).exit_code == 0
    assert len(file.read_text().splitlines()) == 4
    assert run("events", "export", "--to", str(tmp_path / "none" / "events.jsonl")).exit_code == 1
    assert list(tmp_path.glob(".events*")) == []

    table = tmp_path / "events.csv"
    assert run("events", "export", "--to", str(table)).exit_code == 0
    assert run("events", "export", "--output", "csv").stdout == table.read_text()
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["event_id"]) for row in rows] == log[1:]
    assert json.loads(rows[1]["new"]) == {"status": "active", "same": 1}
    assert run("--ids", "events", "export").stdout.split() == [str(event_id) for event_id in log[1:]]
