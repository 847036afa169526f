"""Verifications as an operator types them: documents opened on the record, one decided about, and a thousand."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from marketplace_api.cli import CONFLICT, DONE, FAILED, NOT_FOUND, PARTLY_DONE, USAGE
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.trust.verifications import decisions
from marketplace_api.gateways.document_cipher import DocumentKeys, generate_key
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import make_user
from tests.factories.verifications import Office, make_pdf
from tests.unit.cli.world import count, offer, person, told, waiting
from tests.unit.domain.identity.accounts_world import at_once

Run = Callable[..., Result]
APPROVED = Verification.status == "approved"
OPENED = "verification.document_opened"


@pytest.fixture
def sent(committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pending verification whose document lies in the storage that the commands use."""
    key = f"test:{generate_key()}"
    monkeypatch.setenv("DOCUMENT_KEYS", key)
    storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    with committed_databases.session() as session:
        office = Office(session, committed_databases, storage, DocumentKeys.from_settings(Settings(document_keys=key)))
        user = make_user(session, username="ada")
        session.commit()
        return office.submit(user, make_pdf(), "mine.pdf")


def shown(run: Run, *words: str, stdin: str = "") -> Any:
    result = run("--json", *words, stdin=stdin)
    assert result.exit_code == DONE, result.stderr
    return json.loads(result.stdout)


def lines(ids: list[int]) -> str:
    return "".join(f"{id_}\n" for id_ in ids)


def test_a_document_is_opened_into_a_file_of_ones_own(
    run: Run, committed_databases: Databases, sent: Any, tmp_path: Path
) -> None:
    target = tmp_path / "passport.pdf"
    words = ("verification", "open", str(sent.verification_id), "--to", str(target))
    assert run(*words).exit_code == USAGE, "nobody says why"
    assert not target.exists()
    assert told(committed_databases, OPENED) == []

    done = shown(run, *words, "--reason", "Compare the names.")
    assert done == {
        "action": "open",
        "verification_id": sent.verification_id,
        "file": str(target),
        "media_type": "application/pdf",
        "bytes": len(make_pdf()),
    }
    assert target.read_bytes() == make_pdf()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (event,) = told(committed_databases, OPENED)
    assert (event.subject_id, event.reason) == (sent.verification_id, "Compare the names.")
    assert event.new.keys() == {"user_id", "date_submitted"}

    again = run(*words, "--reason", "Once more.")
    assert again.exit_code == CONFLICT
    assert "is there already" in again.stderr
    assert len(told(committed_databases, OPENED)) == 1, "what cannot be written is not opened"
    target.write_bytes(b"old")
    assert run("--yes", *words, "--reason", "Once more.").exit_code == DONE
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (make_pdf(), 0o600)


def test_a_document_goes_into_a_pipe(run: Run, committed_databases: Databases, sent: Any) -> None:
    result = run("verification", "open", str(sent.verification_id), "--to", "-", "--reason", "Compare the names.")
    assert result.exit_code == DONE
    assert result.stdout_bytes == make_pdf()
    assert len(told(committed_databases, OPENED)) == 1


def test_what_cannot_be_opened_leaves_no_file(
    run: Run, committed_databases: Databases, sent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, reason = tmp_path / "new.pdf", ("--reason", "Compare the names.")
    assert run("verification", "open", "99", "--to", str(target), *reason).exit_code == NOT_FOUND
    nowhere = run("verification", "open", str(sent.verification_id), "--to", str(tmp_path / "no" / "x"), *reason)
    assert nowhere.exit_code == FAILED
    person(committed_databases, username="customer")
    words = ("verification", "open", str(sent.verification_id), "--to", str(target), *reason)
    assert run("--as", "customer", *words).exit_code == FAILED
    assert run("--as", "ada", *words).exit_code == FAILED
    monkeypatch.setenv("DOCUMENT_KEYS", f"other:{generate_key()}")
    assert run(*words).exit_code == FAILED
    assert not target.exists()
    assert told(committed_databases, OPENED) == []


def test_one_is_decided_about(run: Run, committed_databases: Databases) -> None:
    first, second = waiting(committed_databases, 2)
    rehearsed = shown(run, "verification", "approve", str(first), "--dry-run")
    assert rehearsed == {
        "action": "approve",
        "matched": 1,
        "changed": 1,
        "failed": [],
        "interrupted": False,
        "dry_run": True,
    }
    assert count(committed_databases, APPROVED) == 0

    done = run("verification", "approve", str(first), "--until", "365d", "--reason", "All is right.")
    assert (done.exit_code, done.stdout) == (DONE, f"Approved the verification {first}.\n")
    with committed_databases.session() as session:
        row = session.get_one(Verification, first)
        assert row.expires_at is not None and row.expires_at > datetime.now(UTC) + timedelta(days=364)
        assert session.get_one(User, row.user_id).is_verified
    (event,) = told(committed_databases, "verification.approved")
    assert (event.subject_id, event.reason) == (first, "All is right.")

    again = run("verification", "approve", str(first))
    assert again.exit_code == CONFLICT
    assert "is not possible while the verification is approved" in again.stderr
    assert run("verification", "approve", "99").exit_code == NOT_FOUND
    assert run("verification", "reject", str(second)).exit_code == USAGE
    assert run("verification", "reject", str(second), "--reason", "It is blurred.").exit_code == DONE
    (rejected,) = told(committed_databases, "verification.rejected")
    assert rejected.reason == "It is blurred."
    assert shown(run, "verification", "show", str(second))["reason"] == "It is blurred."


def test_an_approval_can_end_before_its_time(run: Run, committed_databases: Databases) -> None:
    first, second = waiting(committed_databases, 2)
    run("verification", "approve", str(first))
    assert run("verification", "expire", str(second)).exit_code == CONFLICT
    assert run("verification", "expire", str(first), "--reason", "It was stolen.").exit_code == DONE
    with committed_databases.session() as session:
        row = session.get_one(Verification, first)
        assert (row.status, row.expires_at is not None) == ("expired", True)
        assert not session.get_one(User, row.user_id).is_verified
    (event,) = told(committed_databases, "verification.expired")
    assert event.reason == "It was stolen."
    assert [job["args"]["handler"] for job in shown(run, "jobs", "list")] == ["notify_of_verification"] * 2


def test_nobody_decides_about_themselves(run: Run, committed_databases: Databases, sent: Any) -> None:
    with committed_databases.session() as session:
        session.execute(sa.update(User).values(roles=["customer", "moderator"]))
        session.commit()
    result = run("--as", "ada", "verification", "approve", str(sent.verification_id))
    assert result.exit_code == FAILED
    assert "Nobody decides about their own" in result.stderr


def test_many_are_decided_about_and_each_failure_is_told(run: Run, committed_databases: Databases) -> None:
    ids = waiting(committed_databases, 4)
    run("verification", "reject", str(ids[1]), "--reason", "It is blurred.")
    stdin = f"\ufeff{ids[0]}\n\n# these were looked at\n{ids[1]}  # again\n 99999 \n{ids[0]}\n{ids[2]}"
    assert run("verification", "approve", "-", stdin=stdin).exit_code == USAGE, "nobody said yes"
    assert count(committed_databases, APPROVED) == 0

    result = run("--yes", "--json", "verification", "approve", "-", str(ids[3]), stdin=stdin)
    assert result.exit_code == PARTLY_DONE
    done = json.loads(result.stdout)
    assert (done["action"], done["matched"], done["changed"], done["dry_run"]) == ("approve", 5, 3, False)
    assert [(row["verification_id"], row["code"]) for row in done["failed"]] == [
        (ids[1], "wrong_state"),
        (99999, "not_found"),
    ]
    assert result.stderr.splitlines() == [
        f"verification {ids[1]}: The step `approve` is not possible while the verification is rejected.",
        "verification 99999: There is no such verification.",
    ]
    assert count(committed_databases, APPROVED) == 3
    assert len({event.request_id for event in told(committed_databases, "verification.approved")}) == 1
    all_failed = run("--yes", "verification", "approve", "-", stdin=stdin)
    assert all_failed.exit_code == FAILED
    assert all_failed.stdout == "Approved 0 of 4 verifications; 4 failed.\n"


@pytest.mark.parametrize("stdin", ["x\n", "1\n-2\n", "0\n", "9" * 30, "١\n", "\xff\n", "9223372036854775808"])
def test_what_is_no_id_stops_before_anything_is_done(run: Run, committed_databases: Databases, stdin: str) -> None:
    (first,) = waiting(committed_databases, 1)
    result = run("--yes", "verification", "approve", str(first), "-", stdin=stdin)
    assert result.exit_code == USAGE
    assert "is no id" in result.stderr and "Line" in result.stderr
    assert count(committed_databases, APPROVED) == 0


def test_no_ids_are_nothing_to_do(run: Run) -> None:
    assert shown(run, "verification", "approve", "-", stdin="\n# none\n")["matched"] == 0
    assert run("verification", "approve").exit_code == USAGE


def test_hundreds_from_standard_input(run: Run, committed_databases: Databases) -> None:
    ids = waiting(committed_databases, 300)
    rehearsed = shown(run, "verification", "approve", "-", "--dry-run", stdin=lines(ids[:50]))
    assert (rehearsed["changed"], count(committed_databases, APPROVED)) == (50, 0)
    done = shown(run, "--yes", "verification", "approve", "-", stdin=lines(ids))
    assert (done["matched"], done["changed"]) == (300, 300)
    assert count(committed_databases, APPROVED) == 300


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, PARTLY_DONE)])
def test_what_was_reported_is_done_when_the_process_is_stopped(
    run: Run, committed_databases: Databases, number: signal.Signals, ends: int
) -> None:
    ids = waiting(committed_databases, 300)
    command = [
        sys.executable,
        "-m",
        "marketplace_api.cli",
        "--yes",
        "--verbose",
        "--json",
        "verification",
        "approve",
        "-",
    ]
    process = subprocess.Popen(
        command, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(lines(ids))
    process.stdin.close()
    reported: list[int] = []
    for line in process.stderr:
        if line.startswith("verification "):
            reported.append(int(line.removeprefix("verification ").partition(":")[0]))
            if len(reported) == 20:
                process.send_signal(number)
    assert process.stdout is not None
    document = process.stdout.read()
    assert process.wait(30) == ends
    process.stdout.close()
    process.stderr.close()

    with committed_databases.session() as session:
        approved = set(session.scalars(sa.select(Verification.verification_id).where(APPROVED)))
    assert set(reported) <= approved
    # The one that it was at may have been committed before that could be said.
    assert len(approved) <= len(reported) + 1
    assert 20 <= len(approved) < 300, "it was stopped in the middle"
    if number == signal.SIGINT:
        assert json.loads(document)["interrupted"]
        assert json.loads(document)["changed"] == len(approved)

    again = run("--yes", "--json", "verification", "approve", "-", stdin=lines(ids))
    assert again.exit_code == PARTLY_DONE
    done = json.loads(again.stdout)
    assert (done["changed"], len(done["failed"])) == (300 - len(approved), len(approved))
    assert {row["code"] for row in done["failed"]} == {"wrong_state"}
    assert count(committed_databases, APPROVED) == 300
    assert len(told(committed_databases, "verification.approved")) == 300


def test_two_operators_at_once_decide_each_one_once(run: Run, committed_databases: Databases) -> None:
    ids = waiting(committed_databases, 30)
    command = [sys.executable, "-m", "marketplace_api.cli", "--yes", "--json", "verification"]
    both = [
        subprocess.Popen(
            [*command, *words, *map(str, order)], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for words, order in ((("approve",), ids), (("reject", "--reason", "It is blurred."), ids[::-1]))
    ]
    done = [json.loads(process.communicate()[0]) for process in both]
    assert sum(each["changed"] for each in done) == 30
    assert sum(len(each["failed"]) for each in done) == 30
    assert count(committed_databases, APPROVED) == done[0]["changed"]


def test_the_queue_is_shown_by_state_and_age(run: Run, committed_databases: Databases) -> None:
    first, second, third = waiting(committed_databases, 3)
    long_ago = datetime.now(UTC) - timedelta(days=10)
    with committed_databases.session() as session:
        session.execute(
            sa.update(Verification).where(Verification.verification_id == first).values(date_submitted=long_ago)
        )
        session.commit()
    run("verification", "approve", str(third))
    for words, ids in (
        ((), [first, second]),
        (("--status", "approved"), [third]),
        (("--status", "all"), [first, second, third]),
        (("--sent-before", "7d"), [first]),
        (("--status", "all", "--after", str(first), "--limit", "1"), [second]),
    ):
        assert [row["verification_id"] for row in shown(run, "verification", "list", *words)] == ids, words
    assert f"--after {first}" in run("verification", "list", "--limit", "1").stderr
    assert "mine.png" in run("verification", "list").stdout


def test_listings_that_wait_are_shown_the_longest_waiting_first(run: Run, committed_databases: Databases) -> None:
    now = datetime.now(UTC)
    (young,) = offer(committed_databases, status="pending_verification", review_requested_at=now)
    (old,) = offer(
        committed_databases, status="pending_verification", review_requested_at=now - timedelta(days=9), title="Old car"
    )
    offer(committed_databases)
    listed = shown(run, "verification", "list", "--kind", "listing")
    assert [row["listing_id"] for row in listed] == [old, young]
    found = shown(run, "verification", "list", "--kind", "listing", "--sent-before", "7d")
    assert [row["title"] for row in found] == ["Old car"]
    assert run("verification", "list", "--kind", "listing", "--status", "all").exit_code == USAGE


def test_one_is_shown_with_who_opened_it(run: Run, sent: Any, tmp_path: Path) -> None:
    words = ("verification", "open", str(sent.verification_id), "--to", str(tmp_path / "x.pdf"))
    assert run(*words, "--reason", "Compare the names.").exit_code == DONE
    found = shown(run, "verification", "show", str(sent.verification_id))
    assert (found["username"], found["status"], found["document_name"]) == ("ada", "pending", "mine.pdf")
    opened, submitted = found["history"]
    assert (opened["type"], opened["reason"], opened["actor"][:8]) == (OPENED, "Compare the names.", "operator")
    assert (submitted["type"], submitted["actor"]) == ("verification.submitted", "ada")
    assert "Compare the names." in run("verification", "show", str(sent.verification_id)).stdout
    assert run("verification", "show", "99").exit_code == NOT_FOUND
    assert not {"file_key", "envelope"} & found.keys()


def test_expiry_by_an_operator_and_by_the_clock_meet(committed_databases: Databases) -> None:
    (first,) = waiting(committed_databases, 1)
    with committed_databases.session() as session:
        decisions.approve(session, operator("test"), first, expires_at=datetime.now(UTC) + timedelta(hours=1))
        session.commit()
    later = datetime.now(UTC) + timedelta(hours=2)
    at_once(
        committed_databases,
        lambda session: decisions.expire(session, operator("test"), first),
        lambda session: decisions.expire_due(session, later),
    )
    assert count(committed_databases, Verification.status == "expired") == 1
    with committed_databases.session() as session:
        kinds = list(session.scalars(sa.select(Event.type).where(Event.subject_type == "verification")))
    assert kinds.count("verification.expired") == 1
