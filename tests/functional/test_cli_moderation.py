"""Bulk moderation as a moderator types it: what is shown, done, interrupted, undone, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import CONFLICT, DONE, NOT_FOUND, PARTLY_DONE, USAGE, main
from marketplace_api.database.engines import Databases
from marketplace_api.domain.trust.moderation import batches
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.models.catalog.listings import Listing
from tests.factories.accounts import make_user

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]
SPAM = ("moderation", "bulk", "suspend", "--target", "listings", "--where", "title ~ spam", "--reason", "Advertising.")


@pytest.fixture
def environment(committed_databases: Databases, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": boot.connection_url(committed_databases),
        "DATA_DIR": str(tmp_path / "data"),
        "MARKETPLACE_INI": str(ROOT / "development.ini"),
    }


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)
    return lambda *words, stdin="": CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def offer(databases: Databases, count: int, title: str = "Spam", **values: Any) -> list[int]:
    with databases.session() as session:
        owner = make_user(session).user_id
        fields = {"category": "cars", "price": 1, "photos_urls": [], "amenities": [], "user_id": owner, **values}
        statement = sa.insert(Listing).returning(Listing.listing_id)
        made = session.execute(statement, [{**fields, "title": f"{title} {number}"} for number in range(count)])
        ids = list(made.scalars())
        session.commit()
    return ids


def suspended(databases: Databases) -> int:
    with databases.session() as session:
        return session.scalar(sa.select(sa.func.count()).where(Listing.status == "suspended")) or 0


def test_a_batch_from_the_sample_to_the_undo(run: Run, committed_databases: Databases) -> None:
    offer(committed_databases, 12)
    (other,) = offer(committed_databases, 1, "Chair")
    shown = run(*SPAM, "--dry-run")
    assert shown.exit_code == DONE
    assert "12 listings match; 5 of them are above." in shown.stderr
    assert "Spam 11" in shown.stderr
    assert "Nothing was changed." in shown.stdout
    assert suspended(committed_databases) == 0

    assert run(*SPAM).exit_code == USAGE, "nobody said yes"
    done = run("--yes", *SPAM)
    assert done.exit_code == DONE
    assert "is done: 12 changed." in done.stdout
    assert suspended(committed_databases) == 12
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    assert (batch["action"], batch["conditions"], batch["matched"], batch["state"]) == (
        "suspend",
        "title ~ spam",
        12,
        "done",
    )
    assert batch["actor"].startswith("operator")

    with committed_databases.session() as session:
        session.execute(sa.update(Listing).where(Listing.title == "Spam 3").values(version=Listing.version + 1))
        session.commit()
    assert run("moderation", "undo", batch["batch_id"], "--dry-run").stdout == (
        f"Would undo the batch {batch['batch_id']} (suspend 12 listings). 1 of them has changed since and would be kept. "
        "Nothing was changed.\n"
    )
    undone = run("--yes", "--json", "moderation", "undo", batch["batch_id"], "--reason", "Too many.")
    assert undone.exit_code == PARTLY_DONE
    told = json.loads(undone.stdout)
    assert (told["restored"], told["kept"], told["state"]) == (11, 1, "undone")
    assert "It has changed since." in undone.stderr
    assert suspended(committed_databases) == 1
    kept = json.loads(run("--json", "moderation", "show", batch["batch_id"], "--outcome", "kept").stdout)
    assert [row["outcome"] for row in kept["rows"]] == ["kept"]
    assert other not in [row["subject_id"] for row in kept["rows"]]


def test_what_a_program_reads(run: Run, committed_databases: Databases) -> None:
    ids = offer(committed_databases, 2)
    offer(committed_databases, 1, status="suspended", suspended_from="active")
    done = run("--yes", "--json", *SPAM)
    assert done.exit_code == PARTLY_DONE, "one was suspended already"
    told = json.loads(done.stdout)
    assert {name: told[name] for name in ("action", "target", "matched", "changed", "skipped", "dry_run")} == {
        "action": "suspend",
        "target": "listings",
        "matched": 3,
        "changed": 2,
        "skipped": 1,
        "dry_run": False,
    }
    assert re.search(r"^listing [0-9]+: It is suspended\.$", done.stderr, re.MULTILINE)
    rows = json.loads(run("--json", "moderation", "show", told["batch_id"]).stdout)["rows"]
    assert [row["subject_id"] for row in rows if row["outcome"] == "changed"] == ids
    dry = json.loads(run("--json", *SPAM, "--dry-run").stdout)
    assert (dry["matched"], dry["changed"], dry["dry_run"], dry["batch_id"]) == (3, 0, True, None), "all are by now"


def test_a_rehearsal_and_the_deed_agree(run: Run, committed_databases: Databases) -> None:
    offer(committed_databases, 8)
    offer(committed_databases, 1, deleted_at=datetime.now(UTC))
    assert run(*SPAM, "--dry-run").stdout == "Would suspend 8 of 9 listings; 1 is deleted. Nothing was changed.\n"
    rehearsed = json.loads(run("--json", *SPAM, "--dry-run").stdout)
    assert "Suspend 8 of 9 listings; 1 is deleted?" in run(*SPAM).stderr
    done = run("--yes", "--json", *SPAM)
    told = json.loads(done.stdout)
    parts = ("matched", "changed", "skipped", "reasons")
    assert {name: told[name] for name in parts} == {name: rehearsed[name] for name in parts}
    assert told["reasons"] == {"It is deleted.": 1}
    again = run("--yes", *SPAM)
    assert again.stdout == "Batch 2 is done: 9 skipped; 8 are suspended; 1 is deleted.\n"


def test_ctrl_c_behind_the_last_part_changes_nothing(
    run: Run, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done is done; and what is skipped for one reason takes a few lines."""
    offer(committed_databases, 3)
    offer(committed_databases, 8, status="suspended", suspended_from="active")
    advance = batches.advance

    def advance_and_interrupt(*arguments: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return advance(*arguments)

    monkeypatch.setattr(batches, "advance", advance_and_interrupt)
    monkeypatch.setattr(signal, "getsignal", lambda _number: lambda *_: None)  # a second one ends it at once
    done = run("--yes", *SPAM)
    assert done.stdout == "Batch 1 is done: 3 changed, 8 skipped; 8 are suspended.\n"
    lines = [line.partition(": ")[2] or line for line in done.stderr.splitlines() if "It is suspended." in line]
    assert lines == ["It is suspended."] * 6 and "… and 3 more: It is suspended." in done.stderr
    assert "moderation show 1" in done.stderr
    assert json.loads(run("--json", "moderation", "show", "1").stdout)["state"] == "done"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ("bulk", "suspend", "--target", "listings", "--where", "prise < 1", "--reason", "x"),
            USAGE,
            "did you mean 'price'",
        ),
        (
            ("bulk", "suspended", "--target", "listings", "--where", "price < 1", "--reason", "x"),
            USAGE,
            "mean 'suspend'",
        ),
        (("bulk", "suspend", "--target", "listings", "--where", "price < 1", "--reason", " "), USAGE, "Give a reason"),
        (
            ("bulk", "delete", "--target", "reviews", "--where", "", "--reason", "x"),
            USAGE,
            "for example: comment ~ free",
        ),
        (("bulk", "suspend", "--target", "cats", "--where", "price < 1", "--reason", "x"), USAGE, "cats"),
        (("bulk", "suspend", "--target", "listings", "--where", "price < 1"), USAGE, "--reason"),
        (("undo", "99"), NOT_FOUND, "no batch 99"),
        (("show", "99"), NOT_FOUND, "no batch 99"),
        (("resume", "99"), NOT_FOUND, "no batch 99"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(words: tuple[str, ...], code: int, told: str, run: Run) -> None:
    result = run("--yes", "moderation", *words)
    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_accounts_by_condition(run: Run, committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        make_user(session, username="bot.one")
        make_user(session, username="bot.two", roles=["moderator"])
        moderator = make_user(session, username="judge", roles=["moderator"])
        session.commit()
    words = ("moderation", "bulk", "ban", "--target", "users", "--where", "username ~ bot.", "--reason", "Robots.")
    done = run("--as", moderator.username, "--yes", "--json", *words)
    assert done.exit_code == PARTLY_DONE
    assert (json.loads(done.stdout)["changed"], json.loads(done.stdout)["skipped"]) == (1, 1)
    assert "as much power as yours" in done.stderr
    forbidden = run("--as", "bot.two", "--yes", *words[:4], "users", "--where", "username = judge", "--reason", "x")
    assert forbidden.exit_code != DONE


def _process(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "marketplace_api.cli", "--yes", *words],
        cwd=ROOT,
        text=True,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_batch_leaves_whole_parts(
    number: signal.Signals, run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    offer(committed_databases, 16_000)
    process = _process(environment, *SPAM)
    while process.poll() is None and not suspended(committed_databases):
        time.sleep(0.01)
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    done = suspended(committed_databases)
    assert done > 0
    assert done % TARGETS["listings"].part == 0, "whole parts only"
    if number == signal.SIGINT:
        assert process.returncode == PARTLY_DONE, err
    assert batch["state"] == "interrupted"
    resumed = run("--yes", "moderation", "resume", batch["batch_id"])
    assert resumed.exit_code == DONE, resumed.output
    assert suspended(committed_databases) == 16_000
    assert run("--yes", "moderation", "undo", batch["batch_id"]).exit_code == DONE
    assert suspended(committed_databases) == 0
    assert run("moderation", "undo", batch["batch_id"]).exit_code == CONFLICT, "nothing is left to ask about"
    again = run("moderation", "resume", batch["batch_id"])
    assert (again.exit_code, again.stdout, again.stderr) == (CONFLICT, "", "Error: Batch 1 is undone.\n")


def test_an_undo_stops_the_batch_that_still_runs(
    run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    offer(committed_databases, 16_000)
    process = _process(environment, *SPAM)
    while process.poll() is None and not suspended(committed_databases):
        time.sleep(0.01)
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    assert batch["state"] == "running", "somebody carries it out"
    undone = run("--yes", "--json", "moderation", "undo", batch["batch_id"])
    _out, err = process.communicate(timeout=60)
    assert process.returncode == CONFLICT, err
    assert json.loads(undone.stdout)["state"] == "undone"
    assert suspended(committed_databases) == 0
