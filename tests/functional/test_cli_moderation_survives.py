"""Bulk moderation as processes of their own: killed, in each other's way, beside owners who edit, and in little memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import sqlalchemy as sa

from marketplace_api.cli import CONFLICT, DONE, PARTLY_DONE
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.errors import DomainError
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.reviews import actor_of
from tests.functional.test_cli_moderation import SPAM, Run, _process, environment, offer, run, suspended

__all__ = ["environment", "run"]

PART = TARGETS["listings"].part
MOST_MB = 150


def wait_for(process: subprocess.Popen[str], databases: Databases) -> None:
    """Until the first part was committed."""
    while process.poll() is None and not suspended(databases):
        time.sleep(0.01)


def outcomes(databases: Databases) -> dict[str, int]:
    with databases.session() as session:
        rows = session.execute(sa.text("SELECT outcome, count(*) FROM moderation_batch_rows GROUP BY 1"))
        return {row[0]: row[1] for row in rows}


def events(databases: Databases, step: str) -> int:
    with databases.session() as session:
        steps = sa.select(sa.func.count(), sa.func.count(Event.subject_id.distinct()))
        found = session.execute(steps.where(Event.new["step"].astext == step)).one()
    assert found[0] == found[1], "one each"
    return int(found[0])


def test_what_a_killed_run_did_is_seen_and_undone(
    run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    offer(committed_databases, 5 * PART)
    process = _process(environment, *SPAM)
    wait_for(process, committed_databases)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    done = suspended(committed_databases)
    assert (batch["state"], done % PART) == ("interrupted", 0)
    assert 0 < done < 5 * PART
    assert events(committed_databases, "suspend") == done
    undone = run("--yes", "--json", "moderation", "undo", batch["batch_id"])
    told = json.loads(undone.stdout)
    assert (told["state"], told["restored"], told["skipped"]) == ("undone", done, 5 * PART - done)
    assert (undone.exit_code, undone.stderr) == (DONE, ""), "all is as it was"
    assert suspended(committed_databases) == 0
    assert events(committed_databases, "undo suspend") == done


def test_a_killed_undoing_is_gone_on_with(
    run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    offer(committed_databases, 4 * PART)
    assert run("--yes", *SPAM).exit_code == DONE
    process = _process(environment, "moderation", "undo", "1")
    while process.poll() is None and suspended(committed_databases) == 4 * PART:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    assert (batch["state"], suspended(committed_databases) % PART) == ("undo_interrupted", 0)
    assert run("moderation", "resume", "1").exit_code == DONE
    assert outcomes(committed_databases) == {"restored": 4 * PART}
    assert events(committed_databases, "undo suspend") == 4 * PART


def test_ctrl_c_says_how_to_go_on(run: Run, environment: dict[str, str], committed_databases: Databases) -> None:
    offer(committed_databases, 5 * PART)
    process = _process(environment, *SPAM)
    wait_for(process, committed_databases)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == PARTLY_DONE, err
    assert "`moderation resume 1` goes on, `moderation undo 1` takes it back" in out
    assert "Traceback" not in err
    assert suspended(committed_databases) % PART == 0


def test_two_who_undo_at_once_share_it(run: Run, environment: dict[str, str], committed_databases: Databases) -> None:
    offer(committed_databases, 3 * PART)
    assert run("--yes", *SPAM).exit_code == DONE
    both = [_process(environment, "--json", "moderation", "undo", "1") for _ in range(2)]
    for process in both:
        _out, err = process.communicate(timeout=120)
        assert process.returncode in (DONE, CONFLICT), err
        assert "Traceback" not in err
    assert outcomes(committed_databases) == {"restored": 3 * PART}
    assert suspended(committed_databases) == 0
    assert events(committed_databases, "undo suspend") == 3 * PART


def test_what_owners_change_meanwhile_is_kept_and_named(
    run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    ids = offer(committed_databases, 4 * PART)
    with committed_databases.session() as session:
        owner = actor_of(session.get_one(User, session.get_one(Listing, ids[0]).user_id))
    words = ("moderation", "bulk", "delete", *SPAM[3:])
    process = _process(environment, *words)
    edited = set()
    # From the end, where the batch comes last.
    for listing_id in reversed(ids[::50]):
        with committed_databases.session() as session:
            try:
                editing.edit(session, owner, listing_id, changes={"title": "My spam"})
                session.commit()
            except DomainError:
                break
            edited.add(listing_id)
    process.communicate(timeout=120)
    assert process.returncode == DONE
    # These come back and are edited once more, before the rest is.
    with committed_databases.session() as session:
        for listing_id in ids[:3]:
            editing.restore(session, owner, listing_id)
        session.commit()
    undone = run("--yes", "--json", "moderation", "undo", "1")
    assert undone.exit_code == PARTLY_DONE
    assert (json.loads(undone.stdout)["restored"], json.loads(undone.stdout)["kept"]) == (4 * PART - 3, 3)
    for listing_id in ids[:3]:
        assert f"listing {listing_id}: It has changed since." in undone.stderr
    with committed_databases.session() as session:
        titles = session.execute(sa.select(Listing.listing_id).where(Listing.title == "My spam")).scalars()
        assert set(titles) == edited, "no edit is lost"
        assert session.scalar(sa.select(sa.func.count()).where(Listing.deleted_at.is_not(None))) == 0


def test_memory_does_not_grow_with_the_number(environment: dict[str, str], committed_databases: Databases) -> None:
    offer(committed_databases, 10 * PART)
    for words in (SPAM, ("moderation", "undo", "1")):
        process = _process(environment, *words)
        peak = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
            time.sleep(0.02)
        _out, err = process.communicate()
        assert process.returncode == DONE, err
        assert peak / 1024 < MOST_MB


def test_a_database_that_goes_away_is_told_of_in_a_sentence(
    run: Run, environment: dict[str, str], committed_databases: Databases
) -> None:
    offer(committed_databases, 5 * PART)
    process = _process(environment, *SPAM)
    wait_for(process, committed_databases)
    with committed_databases.owner_session() as session:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        session.execute(sa.text(f"SELECT pg_terminate_backend(pid) {others}"))
    committed_databases.dispose()  # ours are ended as well
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    (batch,) = json.loads(run("--json", "moderation", "batches").stdout)
    assert f"`moderation resume {batch['batch_id']}` goes on" in err
    assert "Error: The database ended what it was doing" in err
    assert "Traceback" not in err
    assert run("--yes", "moderation", "resume", batch["batch_id"]).exit_code == DONE
    assert suspended(committed_databases) == 5 * PART
