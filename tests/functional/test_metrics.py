"""What /metrics tells of queue, database and disk; also while the database is away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from marketplace_api import boot
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.outbound.webhooks import endpoints
from marketplace_api.gateways.rate_limiter import Limiter
from marketplace_api.views.operations.metrics import _forget_dead
from marketplace_api.views.operations.pools import sample
from tests.factories.accounts import make_user
from tests.factories.webhooks import OPERATOR, make_webhook
from tests.support.client import Client


def _samples(client: Client) -> dict[str, float]:
    """Every sample of ours by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    lines = re.findall(r"^(marketplace_\S+) (\S+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in lines}


@pytest.fixture
def caller(live_app: Any) -> Client:
    return Client(live_app)


def test_the_queues_are_told_by_status_and_age_and_the_clock_by_task(
    caller: Client, committed_databases: Databases
) -> None:
    with committed_databases.session() as session, session.begin():
        for statement in (
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now()), (now() - interval '1 hour')",
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('q', 't', 'failed'), ('q', 't', 'failed')",
            "INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at) VALUES "
            "('q', 't', now() + interval '1 day'), ('q', 't', now() - interval '10 minutes'), ('q', 't', NULL), "
            "('mail', 't', NULL)",
            "UPDATE procrastinate_events SET at = now() - interval '1 hour' WHERE job_id = "
            "(SELECT id FROM procrastinate_jobs WHERE queue_name = 'mail')",
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id) "
            "SELECT 'q', 't', 'doing', id FROM procrastinate_workers",
            "INSERT INTO schedule_runs (task, outcome, started_at, finished_at, succeeded_at, next_due_at, error) VALUES "
            "('recount', 'failed', now(), now(), to_timestamp(5), now() - interval '1 hour', 'KeyError'), "
            "('sweep_files', 'done', now(), now(), to_timestamp(7), now() + interval '1 hour', NULL)",
        ):
            session.execute(sa.text(statement))
    told = _samples(caller)
    counts = {
        status: told[f'marketplace_jobs{{queue="q",status="{status}"}}']
        for status in ("todo", "doing", "failed", "stalled")
    }
    assert counts == {"todo": 3, "doing": 2, "failed": 2, "stalled": 1}
    assert 600 <= told['marketplace_jobs_oldest_seconds{queue="q"}'] < 900
    assert 3600 <= told['marketplace_jobs_oldest_seconds{queue="mail"}'] < 3900
    assert told['marketplace_jobs{queue="webhooks",status="failed"}'] == 0, "what is absent cannot be seen to rise"
    assert told["marketplace_workers"] == 1
    assert 3600 <= told['marketplace_schedule_overdue_seconds{task="recount"}'] < 3900
    assert told['marketplace_schedule_overdue_seconds{task="sweep_files"}'] == 0
    assert told['marketplace_schedule_succeeded_seconds{task="recount"}'] == 5
    ready = caller.get("/readyz")
    assert ready.status_int == 200, "the API serves what has been done"
    assert ready.json["jobs"]["workers"] == 1
    assert ready.json["jobs"]["queues"]["q"]["failed"] == 2
    assert ready.json["jobs"]["queues"]["sms"]["todo"] == 0


def test_the_feed_s_lag_is_that_of_the_first_event_that_waits(caller: Client, committed_databases: Databases) -> None:
    add = "INSERT INTO events (type, subject_type, date_created) VALUES ('user.edited', 'user', now() - interval '5 minutes')"
    with committed_databases.session() as slow, committed_databases.session() as fast:
        slow.execute(sa.text(add))
        fast.execute(sa.text(add))
        assert _samples(caller)["marketplace_event_feed_lag_seconds"] == 0
        fast.commit()
        assert 300 <= _samples(caller)["marketplace_event_feed_lag_seconds"] < 400
        slow.commit()
    assert _samples(caller)["marketplace_event_feed_lag_seconds"] == 0


def test_webhooks_are_told_whoever_asks(caller: Client, committed_databases: Databases) -> None:
    with committed_databases.session() as session, session.begin():
        endpoint_id = make_webhook(session).endpoint_id
        endpoints.disable(session, OPERATOR, make_webhook(session).endpoint_id)
        endpoints.test(session, OPERATOR, endpoint_id)
        session.execute(sa.text("UPDATE webhook_endpoints SET failed_count = 3 WHERE status = 'disabled'"))
        session.execute(sa.text("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '10 minutes'"))
    told = _samples(caller)
    assert [told[f'marketplace_webhook_endpoints{{status="{status}"}}'] for status in ("enabled", "disabled")] == [1, 1]
    outcomes = {"delivered": 0, "failed": 3, "waiting": 1}
    assert outcomes == {name: told[f'marketplace_webhook_deliveries{{outcome="{name}"}}'] for name in outcomes}
    assert 600 <= told["marketplace_webhook_oldest_seconds"] < 900


def test_jobs_and_notifications_that_fail_are_told_while_they_are_tried_again(
    caller: Client, committed_databases: Databases
) -> None:
    told = _samples(caller)
    assert told['marketplace_jobs_retried{queue="mail"}'] == told['marketplace_jobs_retried_seconds{queue="mail"}'] == 0
    assert told['marketplace_deliveries_put_off{channel="email"}'] == 0
    with committed_databases.session() as session, session.begin():
        user = make_user(session)
        for statement in (
            "INSERT INTO procrastinate_jobs (queue_name, task_name, attempts, scheduled_at) VALUES "
            "('mail', 't', 3, now() + interval '1 minute'), ('mail', 't', 0, NULL)",
            "INSERT INTO procrastinate_events (job_id, type, at) SELECT id, 'deferred_for_retry', now() - interval '1 hour' "
            "FROM procrastinate_jobs WHERE attempts = 3",
        ):
            session.execute(sa.text(statement))
        # The second one waits for its hour, and never failed.
        session.execute(
            sa.text(
                "INSERT INTO deliveries (user_id, channel, type, event_id, due_at, error) VALUES "
                "(:user, 'email', 't', 1, now() + interval '1 hour', 'unavailable'), "
                "(:user, 'email', 't', 2, now() + interval '1 hour', NULL)"
            ),
            {"user": user.user_id},
        )
    told = _samples(caller)
    assert told['marketplace_jobs_retried{queue="mail"}'] == 1
    assert 3600 <= told['marketplace_jobs_retried_seconds{queue="mail"}'] < 3900
    assert told['marketplace_deliveries_put_off{channel="email"}'] == 1


def test_refusals_are_counted_by_group_and_by_what_was_counted(caller: Client, live_app: Any) -> None:
    before = _samples(caller)['marketplace_rate_limited_total{counted_by="address",group="auth"}']
    live_app.registry.limiter = Limiter("")
    try:
        answers = [caller.post("/api/auth/refresh", {"refresh_token": "x"}) for _ in range(33)]
    finally:
        live_app.registry.limiter = None
    refused = sum(answer.status_int == 429 for answer in answers)
    told = _samples(caller)
    assert refused == 3
    assert told['marketplace_rate_limited_total{counted_by="address",group="auth"}'] == before + refused
    assert told['marketplace_rate_limited_total{counted_by="account",group="upload"}'] == 0


def test_pools_tell_what_is_at_work_and_who_waits(
    caller: Client, committed_databases: Databases, configured: tuple[Any, Any]
) -> None:
    configured[1].target = small = make_databases(committed_databases.owner_url, pool_size=2)
    assert caller.get("/api/categories").status_int == 200
    told = _samples(caller)
    assert told['marketplace_pool_in_use{pool="read"}'] == 0, "an idle reader is not at work"
    assert told['marketplace_pool_limit{pool="write"}'] == 4
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(small.write.connect())
        waiting = threading.Thread(target=lambda: small.write.connect().close(), daemon=True)
        waiting.start()
        deadline = time.monotonic() + 30
        while small.pools()["write"].waiting != 1:
            assert time.monotonic() < deadline
        sample(small)
        found = generate_latest(REGISTRY).decode()
        assert 'marketplace_pool_in_use{pool="write"} 4.0' in found
        assert 'marketplace_pool_waiting{pool="write"} 1.0' in found
    waiting.join(30)
    assert (small.pools()["write"].in_use, small.pools()["write"].waiting) == (0, 0)
    small.dispose()


def test_what_a_dead_process_held_counts_no_more(tmp_path: Path) -> None:
    """Two processes that count together, one of which is killed."""
    script = (
        "import os, sys\n"
        "from marketplace_api.views.operations import pools\n"
        "pools.IN_USE.labels('write').set(7)\n"
        "print('set', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == b"set\n"
    assert _together(tmp_path) == 14
    processes[0].kill()
    processes[0].wait()
    assert _together(tmp_path) == 7
    processes[1].kill()
    for process in processes:
        process.communicate()


def _together(folder: Path) -> float:
    _forget_dead(str(folder))
    counted = CollectorRegistry()
    MultiProcessCollector(counted, str(folder))  # type: ignore[no-untyped-call]
    return counted.get_sample_value("marketplace_pool_in_use", {"pool": "write"}) or 0.0


def test_connections_disk_and_memory(caller: Client) -> None:
    told = _samples(caller)
    assert told['marketplace_database_connections{state="active"}'] >= 1
    assert told["marketplace_database_connections_limit"] == 100
    assert 0 < told["marketplace_disk_free_bytes"] < told["marketplace_disk_size_bytes"]
    assert any(name.startswith("marketplace_process_memory_bytes") and value > 10e6 for name, value in told.items())
    assert told['marketplace_ready{check="database"}'] == told['marketplace_ready{check="migrations"}'] == 1


def test_a_database_that_is_away_is_told_and_nothing_is_guessed(caller: Client, configured: tuple[Any, Any]) -> None:
    configured[1].target = away = make_databases("postgresql://u@127.0.0.1:1/x")
    told = _samples(caller)
    away.dispose()
    assert told['marketplace_ready{check="database"}'] == 0
    assert not any(name.startswith(("marketplace_jobs", "marketplace_workers")) for name in told)


def test_a_database_without_tables_is_not_ready(caller: Client, committed_databases: Databases) -> None:
    migrations.downgrade(boot.connection_url(committed_databases), "base")
    told = _samples(caller)
    assert told['marketplace_ready{check="database"}'] == 1
    assert told['marketplace_ready{check="migrations"}'] == 0
    assert "marketplace_workers" not in told
