"""`deliveries`: looked at, sent again; and the doctor and the metrics that tell of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result

from marketplace_api.cli.doctor.checks.content import deliveries as doctor_looks
from marketplace_api.cli.doctor.checks.findings import Installation
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.diagnostics.inspector import inspect
from marketplace_api.domain.operations.health import vitals
from marketplace_api.jobs.schedule import purge_notifications
from tests.factories.accounts import make_user
from tests.factories.deliveries import Post

Run = Callable[..., Result]
ADD = sa.text(
    "INSERT INTO deliveries (user_id, channel, type, event_id, status, error, attempts, date_done, due_at) "
    "VALUES (:user_id, :channel, 'new_message', :event_id, CAST(:status AS text), :error, 8, "
    "CASE WHEN CAST(:status AS text) = 'due' THEN NULL ELSE now() END, now() - interval '1 hour') RETURNING delivery_id"
)

PUT_OFF = sa.text(
    "UPDATE deliveries SET due_at = now() + interval '6 hours', error = 'unavailable' WHERE delivery_id = :id"
)


@pytest.fixture
def ids(committed_databases: Databases) -> dict[str, int]:
    """Ids of deliveries by what became of them."""
    rows = {
        "due": ("email", "due", None),
        "failed": ("email", "failed", "unavailable"),
        "refused": ("sms", "failed", "refused"),
        "sent": ("email", "sent", None),
    }
    with committed_databases.session() as session, session.begin():
        user_id = make_user(session).user_id
        return {
            name: session.execute(
                ADD, {"user_id": user_id, "channel": channel, "status": status, "error": error, "event_id": event_id}
            ).scalar_one()
            for event_id, (name, (channel, status, error)) in enumerate(rows.items())
        }


def _listed(run: Run, *words: str) -> list[int]:
    result = run("--json", "deliveries", "list", *words)
    assert result.exit_code == 0, result.output
    return [row["delivery_id"] for row in json.loads(result.stdout)]


def doctor_s(databases: Databases, settings: Settings) -> list[tuple[str, str]]:
    """What the doctor finds: the names of the checks, and states."""
    with inspect(databases.owner_url) as inspector:
        found = doctor_looks(Installation(settings, {}, Path()), "", inspector, inspector.server())
        return [(finding.check, finding.state) for finding in found]


def test_an_operator_looks_and_has_them_sent_again(run: Run, ids: dict[str, int]) -> None:
    assert _listed(run) == sorted(ids.values(), reverse=True)
    assert _listed(run, "--status", "failed", "--channel", "email") == [ids["failed"]]
    shown = json.loads(run("--json", "deliveries", "show", str(ids["failed"])).stdout)
    assert (shown["status"], shown["error"], shown["attempts"]) == ("failed", "unavailable", 8)
    assert run("deliveries", "show", "999").exit_code == 3
    assert run("deliveries", "retry", str(ids["sent"])).exit_code == 4
    assert run("--yes", "deliveries", "retry", str(ids["sent"]), "999", str(ids["refused"])).exit_code == 5
    assert run("deliveries", "retry", "--failed", "--channel", "email", "--dry-run").exit_code == 0
    assert _listed(run, "--status", "failed") == [ids["failed"]]
    assert run("deliveries", "retry", "--failed").output == f"Retried the delivery {ids['failed']}.\n"
    assert _listed(run, "--status", "failed") == []
    assert run("deliveries", "retry").exit_code == run("deliveries", "retry", "--failed", "--waiting").exit_code == 2


def test_what_was_put_off_is_told_by_the_doctor_and_tried_now(
    committed_databases: Databases, run: Run, ids: dict[str, int], settings: Settings
) -> None:
    assert run("deliveries", "retry", str(ids["due"])).exit_code == 4, "it is due already"
    with committed_databases.session() as session, session.begin():
        session.execute(sa.text("DELETE FROM deliveries WHERE status = 'failed'"))
        session.execute(PUT_OFF, {"id": ids["due"]})
    assert doctor_s(committed_databases, settings) == [("retried notifications", "warning")]
    every = ("--yes", "deliveries", "retry", "--waiting", "--channel")
    assert run(*every, "sms").output == "Retried 0 deliveries.\n"
    assert run(*every, "email", "--dry-run").output == f"Would retry the delivery {ids['due']}.\n"
    assert run(*every, "email").output == f"Retried the delivery {ids['due']}.\n"
    assert doctor_s(committed_databases, settings) == [("notifications", "ok")]


def test_monitors_and_the_doctor_see_what_is_late_and_what_failed(
    committed_databases: Databases, ids: dict[str, int], settings: Settings
) -> None:
    found = vitals(committed_databases)
    assert found is not None
    ways = {way.channel: way for way in found.deliveries}
    assert {name: (way.due, way.failed) for name, way in ways.items()} == {
        "email": (1, 1),
        "sms": (0, 1),
        "web_push": (0, 0),
    }
    assert 3600 <= ways["email"].oldest_seconds < 4000
    told = doctor_s(committed_databases, settings)
    assert told == [("late notifications", "warning"), *[("failed notifications", "warning")] * 2]


def test_the_clock_forgets_what_is_over_and_what_nobody_reads(
    committed_databases: Databases, ids: dict[str, int]
) -> None:
    note = sa.text(
        "INSERT INTO notifications (user_id, type, event_id, is_read, date_updated) "
        "SELECT user_id, 'new_message', :event_id, false, now() - CAST(:age AS interval) FROM users LIMIT 1"
    )
    with committed_databases.session() as session, session.begin():
        for event_id, age in enumerate(("2 years", "13 months", "11 months")):
            session.execute(note, {"event_id": event_id, "age": age})
        session.execute(sa.text("UPDATE deliveries SET date_done = now() - interval '91 days' WHERE status <> 'due'"))
    with committed_databases.session() as session:
        purge_notifications(session, Post().services)
        assert session.execute(sa.text("SELECT event_id FROM notifications")).scalars().all() == [2]
        assert session.execute(sa.text("SELECT unread_count FROM notification_boxes")).scalar_one() == 1
        assert session.execute(sa.text("SELECT delivery_id FROM deliveries")).scalars().all() == [ids["due"]]
