"""`jobs`: looked at, tried again, taken back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from marketplace_api.database.engines import Databases
from marketplace_api.jobs import admin

Run = Callable[..., Result]
ADD = sa.text(
    "INSERT INTO procrastinate_jobs (queue_name, task_name, status, args, attempts) VALUES "
    "(:queue, :task, 'todo', CAST(:args AS jsonb), 0) RETURNING id"
)
BECOME = sa.text("UPDATE procrastinate_jobs SET status = CAST(:status AS procrastinate_job_status) WHERE id = :id")


@pytest.fixture
def jobs(committed_databases: Databases) -> dict[str, int]:
    """Ids of jobs by their names."""
    rows = {
        "waiting": ("default", "handle_event", "todo", '{"handler": "mail_confirmation", "event_id": 1}'),
        "running": ("default", "sweep_files", "doing", "{}"),
        "failed": ("default", "handle_event", "failed", '{"handler": "notify_of_login", "event_id": 2}'),
        "broken": ("slow", "purge_expired", "failed", "{}"),
    }
    with committed_databases.session() as session, session.begin():
        ids = {}
        for name, (queue, task, status, args) in rows.items():
            ids[name] = session.execute(ADD, {"queue": queue, "task": task, "args": args}).scalar_one()
            session.execute(BECOME, {"id": ids[name], "status": status})
    return ids


def _listed(run: Run, *words: str) -> list[int]:
    result = run("--json", "jobs", "list", *words)
    assert result.exit_code == 0, result.output
    return [row["job_id"] for row in json.loads(result.stdout)]


def _status(run: Run, job_id: int) -> Any:
    return json.loads(run("--json", "jobs", "show", str(job_id)).stdout)["status"]


def test_lists_are_narrowed(run: Run, jobs: dict[str, int]) -> None:
    newest_first = sorted(jobs.values(), reverse=True)
    assert _listed(run) == newest_first
    assert _listed(run, "--status", "failed") == [jobs["broken"], jobs["failed"]]
    assert _listed(run, "--queue", "slow") == [jobs["broken"]]
    assert _listed(run, "--task", "sweep_files") == [jobs["running"]]
    assert _listed(run, "--task", "mail_confirmation") == [jobs["waiting"]]
    assert _listed(run, "--since", "1h", "--limit", "1") == newest_first[:1]
    assert _listed(run, "--since", "2999-01-01") == []


def test_one_job_with_its_history(run: Run, jobs: dict[str, int]) -> None:
    run("jobs", "cancel", str(jobs["waiting"]))
    shown = json.loads(run("--json", "jobs", "show", str(jobs["waiting"])).stdout)
    assert (shown["task"], shown["status"], shown["args"]["event_id"]) == ("handle_event", "cancelled", 1)
    assert [event["what"] for event in shown["history"]] == ["deferred", "cancelled"]
    assert "cancelled" in run("jobs", "show", str(jobs["waiting"])).stdout
    assert run("jobs", "show", "987654").exit_code == 3


def test_only_waiting_jobs_are_cancelled(run: Run, jobs: dict[str, int]) -> None:
    waiting = str(jobs["waiting"])
    assert run("jobs", "cancel", waiting, "--dry-run").stdout == f"Would cancel the job {waiting}.\n"
    assert _status(run, jobs["waiting"]) == "todo"
    running = run("jobs", "cancel", str(jobs["running"]))
    assert (running.exit_code, running.stdout) == (4, "")
    assert "is running" in running.stderr
    some = run("--json", "--yes", "jobs", "cancel", "-", stdin=f"{waiting}\n{jobs['running']} 987654\n")
    assert some.exit_code == 5
    told = json.loads(some.stdout)
    assert (told["action"], told["matched"], told["changed"]) == ("cancel", 3, 1)
    assert [(row["job_id"], row["code"]) for row in told["failed"]] == [
        (jobs["running"], "conflict"),
        (987654, "not_found"),
    ]
    assert some.stderr.startswith(f"job {jobs['running']}: ")
    assert run("jobs", "cancel", waiting).exit_code == 4
    assert run("jobs", "cancel", "987654").exit_code == 3
    assert run("jobs", "cancel").exit_code == 2


def test_failed_jobs_are_tried_again(run: Run, jobs: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "BATCH", 1)
    failed = [jobs["failed"], jobs["broken"]]
    would = json.loads(run("--json", "jobs", "retry", "--failed", "--dry-run").stdout)
    assert (would["matched"], would["changed"], would["dry_run"]) == (2, 2, True)
    assert _listed(run, "--status", "failed") == failed[::-1]
    assert run("jobs", "retry", str(jobs["failed"])).exit_code == 0
    assert _status(run, jobs["failed"]) == "todo"
    assert run("jobs", "retry", "--failed").stdout == f"Retried the job {jobs['broken']}.\n"
    assert "0 jobs" in run("jobs", "retry", "--failed").stdout
    assert run("jobs", "retry", str(jobs["running"])).exit_code == 4
    assert run("jobs", "retry").exit_code == 2
    assert run("jobs", "retry", "--failed", "1").exit_code == 2


def test_a_job_that_waits_for_its_next_attempt_runs_now(
    run: Run, jobs: dict[str, int], committed_databases: Databases
) -> None:
    """To ask for it is no attempt, and what is planned is no history."""
    put_off, failed = str(jobs["running"]), str(jobs["failed"])
    with committed_databases.session() as session, session.begin():
        again = "SELECT procrastinate_retry_job_v2(:id, now() + interval '1 hour', NULL, NULL, NULL)"
        session.execute(sa.text(again), {"id": jobs["running"]})
        session.execute(sa.text("UPDATE procrastinate_jobs SET attempts = 1 WHERE status = 'failed'"))
        lock = sa.text("UPDATE procrastinate_jobs SET queueing_lock = 'one' WHERE id IN (:broken, :waiting)")
        session.execute(lock, {"broken": jobs["broken"], "waiting": jobs["waiting"]})
    assert json.loads(run("--json", "jobs", "retry", "--waiting", "--dry-run").stdout)["matched"] == 1
    shown = json.loads(run("--json", "jobs", "show", put_off).stdout)
    assert [event["what"] for event in shown["history"]] == ["deferred", "started", "deferred_for_retry"]
    assert run("jobs", "retry", "--waiting").stdout == f"Retried the job {put_off}.\n"
    assert "waits for a worker already" in run("jobs", "retry", put_off).stderr
    assert "waits for a worker already" in run("jobs", "retry", str(jobs["waiting"])).stderr
    assert f"Job {jobs['waiting']} will do the same" in run("jobs", "retry", str(jobs["broken"])).stderr
    assert run("jobs", "retry", failed).exit_code == 0
    for job_id in (put_off, failed):
        shown = json.loads(run("--json", "jobs", "show", job_id).stdout)
        assert (shown["status"], shown["attempts"]) == ("todo", 1)
        assert [event["at"] for event in shown["history"]] == sorted(event["at"] for event in shown["history"])
    assert shown["history"][-1]["what"] == "retried"
    assert run("jobs", "retry", "--failed", "--waiting").exit_code == 2
