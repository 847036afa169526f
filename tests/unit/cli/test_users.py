"""Judging, erasing and logging out accounts as an operator types it, and looking through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from marketplace_api.cli import CONFLICT, DONE, FAILED, NOT_FOUND, USAGE
from marketplace_api.database.engines import Databases
from marketplace_api.models.identity.accounts import AccountSession, User
from tests.factories.accounts import make_user, open_session
from tests.factories.reports import make_report
from tests.unit.cli.world import count, offer, person, told, waiting

Run = Callable[..., Result]
LIVE = AccountSession.ended_at.is_(None)


@pytest.fixture
def ada(committed_databases: Databases) -> int:
    """An account with two sessions."""
    with committed_databases.session() as session:
        user = make_user(session, username="ada", email="ada@people.example")
        open_session(session, user)
        open_session(session, user)
        session.commit()
    return user.user_id


def shown(run: Run, *words: str) -> Any:
    result = run("--json", *words)
    assert result.exit_code == DONE, result.stderr
    return json.loads(result.stdout)


def test_an_account_is_suspended_for_a_time_and_reinstated(run: Run, committed_databases: Databases, ada: int) -> None:
    words = ("users", "suspend", "ada", "--until", "7d", "--reason", "Insults.")
    rehearsed = shown(run, *words, "--dry-run")
    assert (rehearsed["state"], rehearsed["dry_run"]) == ("suspended", True)
    assert shown(run, "users", "show", "ada")["state"] == "active"
    assert told(committed_databases, "user.suspended") == []

    done = shown(run, *words)
    assert done.keys() == {
        "action",
        "user_id",
        "username",
        "previous_state",
        "previous_suspended_until",
        "previous_reason",
        "state",
        "suspended_until",
        "reason",
        "dry_run",
    }
    assert (done["previous_state"], done["state"], done["reason"]) == ("active", "suspended", "Insults.")
    left = datetime.fromisoformat(done["suspended_until"]) - datetime.now(UTC)
    assert timedelta(days=6) < left < timedelta(days=8)
    (event,) = told(committed_databases, "user.suspended")
    assert (event.subject_id, event.reason) == (ada, "Insults.")

    again = run("users", "suspend", "ada", "--until", "2999-01-31", "--reason", "More of them.")
    replaced = datetime.fromisoformat(done["suspended_until"])
    assert f"This replaces the suspension until {replaced:%Y-%m-%d %H:%M} UTC: “Insults.”" in again.stdout
    history = shown(run, "users", "show", "ada")["history"]
    assert [(each["type"], each["actor"][:8], each["reason"]) for each in history] == [
        ("user.suspended", "operator", "More of them."),
        ("user.suspended", "operator", "Insults."),
    ]
    assert history[0]["previous"]["until"] == done["suspended_until"]
    text = run("users", "show", "ada")
    assert "More of them." in text.stdout and f"events tail --subject user:{ada}" in text.stderr

    assert run("users", "reinstate", "ada", "--reason", "A mistake.").stdout == "ada is reinstated (was suspended).\n"
    assert shown(run, "users", "show", "ada")["state_reason"] is None
    assert run("users", "reinstate", "ada", "--reason", "Again.").exit_code == CONFLICT


def test_a_time_is_a_date_or_a_span(run: Run, ada: int) -> None:
    until = shown(run, "users", "suspend", "ada", "--until", "2999-01-31", "--reason", "Insults.")["suspended_until"]
    assert until == "2999-01-31T00:00:00+00:00"
    for wrong, code in (("2001-01-01", USAGE), ("soon", USAGE), ("7", USAGE), ("'", USAGE), ("999999w", USAGE)):
        result = run("users", "suspend", "ada", "--until", wrong, "--reason", "Insults.")
        assert result.exit_code == code, wrong
        assert "Traceback" not in result.output


def test_a_ban_ends_sessions_and_hides_listings(run: Run, committed_databases: Databases, ada: int) -> None:
    offer(committed_databases, user_id=ada)
    assert "ada would be banned" in run("users", "ban", "ada", "--reason", "Fraud.", "--dry-run").stdout
    assert count(committed_databases, AccountSession.user_id == ada, LIVE) == 2
    asked = run("users", "ban", "ada", "--reason", "Fraud.")
    assert asked.exit_code == USAGE and "Ban ada?" in asked.stderr
    assert run("--yes", "users", "ban", "ada", "--reason", "Fraud.").stdout == "ada is banned (was active).\n"
    assert count(committed_databases, AccountSession.user_id == ada, LIVE) == 0
    assert [event.reason for event in told(committed_databases, "user.banned")] == ["Fraud."]
    assert "1 active" in run("users", "show", "ada").stdout


@pytest.mark.parametrize("words", [("suspend",), ("reinstate",), ("ban",)])
def test_who_is_judged_reads_why(run: Run, ada: int, words: tuple[str]) -> None:
    assert run("users", *words, "ada").exit_code == USAGE
    assert run("users", *words, "ada", "--reason", "x").exit_code == USAGE
    assert run("users", *words, "nobody", "--reason", "Insults.").exit_code == NOT_FOUND


def test_an_erasure_names_whom_and_what(run: Run, committed_databases: Databases, ada: int) -> None:
    offer(committed_databases, 2, user_id=ada)
    rehearsed = run("users", "erase", "ada", "--dry-run")
    whom = "the account ada (ada@people.example) with 2 listings, 2 sessions"
    assert rehearsed.stdout == f"Would erase {whom}.\n"
    unconfirmed = run("users", "erase", "ada")
    assert unconfirmed.exit_code == USAGE
    unboxed = " ".join(unconfirmed.stderr.replace("│", " ").split())
    assert f"Erase {whom}? Nobody can undo this." in unboxed
    assert shown(run, "users", "show", "ada")["state"] == "active"

    done = shown(run, "--yes", "users", "erase", "ada@people.example", "--reason", "Asked for by letter.")
    assert (done["user_id"], done["erased"]["listings"], done["dry_run"]) == (ada, 2, False)
    (event,) = told(committed_databases, "user.erased")
    assert (event.subject_id, event.reason) == (ada, "Asked for by letter.")
    assert count(committed_databases, User.email == "ada@people.example") == 0
    assert run("--yes", "users", "erase", str(ada)).exit_code == CONFLICT
    assert run("--yes", "users", "erase", "ada").exit_code == NOT_FOUND


def test_sessions_are_shown_and_ended(run: Run, committed_databases: Databases, ada: int) -> None:
    first, second = (row["session_id"] for row in shown(run, "users", "sessions", "ada"))
    assert shown(run, "users", "logout", "ada", "--session", str(first), "--dry-run")["ended"] == 1
    done = shown(run, "users", "logout", "ada", "--session", str(first), "--reason", "A laptop was stolen.")
    assert done == {"action": "logout", "user_id": ada, "username": "ada", "ended": 1, "dry_run": False}
    assert [row["session_id"] for row in shown(run, "users", "sessions", "ada")] == [second]
    assert run("users", "logout", "ada", "--session", str(first)).exit_code == NOT_FOUND
    assert run("users", "logout", "ada").stdout == "Ended 1 session of ada.\n"
    ended = told(committed_databases, "session.ended")
    assert [(event.subject_id, event.reason) for event in ended] == [(first, "A laptop was stolen."), (second, None)]
    assert run("users", "logout", "ada").stdout == "Ended 0 sessions of ada.\n"


def test_ending_several_sessions_asks_first(run: Run, committed_databases: Databases, ada: int) -> None:
    refused = run("users", "logout", "ada")
    assert refused.exit_code == USAGE
    assert "End 2 sessions of ada?" in refused.stderr
    assert count(committed_databases, AccountSession.user_id == ada, LIVE) == 2
    assert shown(run, "--yes", "users", "logout", "ada")["ended"] == 2


def test_a_reset_mail_is_asked_for_once_a_minute(run: Run, committed_databases: Databases, ada: int) -> None:
    words = ("users", "send-password-reset", "ada")
    assert "would be sent to ada@people.example" in run(*words, "--dry-run").stdout
    assert shown(run, *words, "--reason", "They called.")["email"] == "ada@people.example"
    (event,) = told(committed_databases, "user.password_reset_requested")
    assert (event.subject_id, event.reason) == (ada, "They called.")
    (job,) = shown(run, "jobs", "list")
    assert job["args"]["handler"] == "mail_password_reset"
    again = run(*words)
    assert again.exit_code == CONFLICT
    assert "less than a minute ago" in again.stderr
    banned = person(committed_databases, state="banned")
    assert run("users", "send-password-reset", str(banned)).exit_code == CONFLICT
    assert run("users", "send-password-reset", "nobody").exit_code == NOT_FOUND


def test_who_acts_must_be_allowed_to(run: Run, committed_databases: Databases, ada: int) -> None:
    person(committed_databases, username="customer")
    person(committed_databases, username="mod", roles=["moderator"])
    for words in (
        ("suspend", "ada", "--reason", "Insults."),
        ("ban", "ada", "--reason", "Insults."),
        ("erase", "ada"),
        ("logout", "ada"),
        ("send-password-reset", "ada"),
    ):
        refused = run("--yes", "--as", "customer", "users", *words)
        assert refused.exit_code == FAILED, (words, refused.output)
        assert "Traceback" not in refused.output
    assert run("--as", "mod", "users", "suspend", "mod", "--reason", "Myself.").exit_code == FAILED
    assert run("--as", "mod", "users", "suspend", "ada", "--reason", "Insults.").exit_code == DONE
    (event,) = told(committed_databases, "user.suspended")
    assert event.actor_id is not None and event.actor_name is None


def test_an_administrator_sees_what_there_is_to_know(run: Run, committed_databases: Databases, ada: int) -> None:
    (listing_id,) = offer(committed_databases, user_id=ada)
    offer(committed_databases, user_id=ada, status="sold")
    offer(committed_databases, user_id=ada, deleted_at=datetime.now(UTC))
    with committed_databases.session() as session:
        make_report(session, make_user(session), "listing", listing_id)
        make_report(session, make_user(session), "user", ada)
    found = shown(run, "users", "show", "ada")
    assert found["listings"] == {"active": 1, "deleted": 1, "sold": 1}
    assert found["open_reports"] == 2
    assert found["verification"] is None
    assert [row["ended_at"] for row in found["sessions"]] == [None, None]
    (verification_id,) = waiting(committed_databases, 1)
    with committed_databases.session() as session:
        owner = session.scalars(sa.select(User.username).order_by(User.user_id.desc())).first()
    assert shown(run, "users", "show", owner or "")["verification"]["verification_id"] == verification_id
    text = run("users", "show", "ada").stdout
    assert "1 active, 1 deleted, 1 sold" in text
    assert "last_used" in text


def test_accounts_are_looked_through(run: Run, committed_databases: Databases, ada: int) -> None:
    old = person(committed_databases, is_verified=True, date_joined=datetime.now(UTC) - timedelta(days=30))
    for words, ids in (
        ((), [ada, old]),
        (("--verified", "yes"), [old]),
        (("--verified", "no"), [ada]),
        (("--joined-since", "7d"), [ada]),
        (("--joined-since", "2001-01-01"), [ada, old]),
        (("--search", "ADA"), [ada]),
        (("--limit", "1"), [ada]),
        (("--after", str(ada)), [old]),
    ):
        assert [row["user_id"] for row in shown(run, "users", "list", *words)] == ids, words
    assert f"--after {ada}" in run("users", "list", "--limit", "1").stderr
    assert run("users", "list", "--joined-since", "yesterday").exit_code == USAGE
