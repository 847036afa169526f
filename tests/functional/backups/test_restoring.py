"""What becomes of jobs, sessions, rights and files on the way, and what `db check` then says."""

from __future__ import annotations

import json
import math
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.domain.operations.health import vitals
from marketplace_api.domain.outbound.webhooks import endpoints
from marketplace_api.jobs.outbound import webhooks
from marketplace_api.jobs.worker import run_pending
from marketplace_api.version import VERSION
from tests.factories.webhooks import OPERATOR, make_webhook
from tests.functional.backups.world import MakePlace, Marketplace, Place

JOBS = "SELECT status::text, count(*)::int FROM procrastinate_jobs GROUP BY status ORDER BY status::text"


@pytest.fixture
def role(source: Place) -> Iterator[str]:
    """A role of the server that may read listings, and no more."""
    name = f"reader_{uuid4().hex[:8]}"
    source.ask(f"CREATE ROLE {name}")
    yield name
    source.ask(f"DROP OWNED BY {name}")
    source.ask(f"DROP ROLE {name}")


def test_jobs_in_flight_begin_anew(
    source: Place, target: Place, marketplace: Marketplace, make_place: MakePlace, settings: Settings, tmp_path: Path
) -> None:
    ((waiting,),) = source.ask("SELECT count(*) FROM procrastinate_jobs")
    assert waiting > 2
    source.ask("INSERT INTO procrastinate_workers DEFAULT VALUES")
    source.ask(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers) "
        "WHERE id = (SELECT min(id) FROM procrastinate_jobs WHERE queueing_lock IS NULL)"
    )
    # One job is being done while the next of its kind waits already.
    for status in ("doing", "todo"):
        source.ask(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, queueing_lock, lock) "
            f"SELECT 'default', 'sweep_files', '{json.dumps({'timestamp': 0})}', '{status}', 'sweep_files', 'sweep_files'"
        )
    source.told("db", "backup", tmp_path / "copy.tar", "--with-files")
    target.told("db", "restore", tmp_path / "copy.tar")
    assert target.ask(JOBS) == [("todo", waiting + 1)]
    assert target.ask("SELECT count(*) FROM procrastinate_workers") == [(0,)]
    run_pending(settings, target.databases)
    assert target.ask("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('failed', 'doing')") == [(0,)]

    quiet = make_place("quiet")
    quiet.told("db", "restore", tmp_path / "copy.tar", "--without-jobs", "--end-sessions")
    assert quiet.ask(JOBS) == []
    assert quiet.ask("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    assert quiet.ask("SELECT count(*) > 0 FROM sessions WHERE end_reason = 'restored'") == [(True,)]


def test_rights_and_policies_come_along(
    source: Place, target: Place, marketplace: Marketplace, role: str, tmp_path: Path
) -> None:
    source.ask("ALTER TABLE listings ENABLE ROW LEVEL SECURITY")
    source.ask(f"GRANT SELECT ON listings TO {role}")
    source.ask(f"CREATE POLICY seen ON listings TO {role} USING (status = 'active')")
    source.told("db", "backup", tmp_path / "copy.tar", "--with-files")
    target.told("db", "restore", tmp_path / "copy.tar")
    granted = "SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_name = 'listings'"
    assert target.ask(f"{granted} AND grantee = '{role}'") == [(role, "SELECT")]
    policies = "SELECT polrelid::regclass::text, polname FROM pg_policy ORDER BY 1, 2"
    assert ("listings", "seen") in target.ask(policies)
    assert target.ask(policies) == source.ask(policies)
    assert target.ask("SELECT relrowsecurity FROM pg_class WHERE relname = 'listings'") == [(True,)]
    target.ask(f"DROP OWNED BY {role}")


def test_a_backup_without_files_names_those_that_are_missing(
    source: Place, target: Place, marketplace: Marketplace, tmp_path: Path
) -> None:
    told = source.run("db", "backup", tmp_path / "copy.tar")
    assert "The 7 files (" in told.stdout
    assert "development (1). No key is in the backup." in told.stdout
    restored = target.run("db", "restore", tmp_path / "copy.tar")
    assert restored.exit_code == 5
    *named, count, advice = restored.stderr.splitlines()
    assert [line.partition(":")[0] for line in named] == sorted(source.files)
    assert (count, "db check --files" in advice) == ("7 files are missing.", True)
    # Of many the first are named, and all in what programs read.
    target.ask(
        "INSERT INTO files (key, kind, owner_id, content_type, size, sha256, state) SELECT "
        "'video-' || md5(n::text) || '.mp4', 'video', (SELECT min(owner_id) FROM files), 'video/mp4', 1, "
        "sha256('1'), 'stored' FROM generate_series(1, 30) AS n"
    )
    check = target.run("db", "check", "--files")
    assert check.exit_code == 1
    *named, count = check.stderr.splitlines()
    assert len(named) == 20
    assert count == (
        "37 files are missing; the first 20 are above, all of them under files_missing in what this tells: "
        "marketplace-admin --json db check --files."
    )
    assert len(target.told("db", "check", "--files", code=1)["files_missing"]) == 37
    target.ask("DELETE FROM files WHERE kind = 'video'")
    # The copy of the storage comes by other ways.
    shutil.copytree(source.folder / "files", target.folder / "files")
    photos = [path for path in (target.folder / "files").rglob("photo-*") if "-full" in path.name]
    strays = [photos[0].with_name(f"{photos[0].name[:8]}{'0' * 29}{last}-full.webp") for last in "12"]
    for stray in strays:
        stray.write_bytes(b"Of nobody")
    os.utime(strays[0], (0, 0))
    (target.folder / "files" / "README").write_text("Not laid out as ours")
    assert (
        "7 files are there, and 1 other beside them that nothing names. 1 more file, younger than an hour, may belong to "
        "what is being done and is not counted. What is not named and laid out as the service does is not looked at."
    ) in target.run("db", "check", "--files").stdout
    assert target.told("db", "check", "--contents")["files_present"] == 7


def test_a_file_that_the_storage_lost_is_named_and_one_that_was_deleted_counted(
    source: Place, marketplace: Marketplace, tmp_path: Path
) -> None:
    lost, changed, *_ = sorted((source.folder / "files").rglob("photo-*"))
    lost.unlink()
    changed.write_bytes(b"other")
    result = source.run("--json", "db", "backup", tmp_path / "copy.tar", "--with-files")
    assert result.exit_code == 5
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == sorted([lost.name, changed.name])
    told = json.loads(result.stdout)
    assert told["files_damaged"] == sorted([lost.name, changed.name])
    assert told["files_included"] == 5
    assert source.told("db", "verify", tmp_path / "copy.tar")["files_included"] == 5
    found = source.told("db", "check", "--files", code=1)
    assert (found["files_missing"], found["files_changed"]) == ([lost.name], [changed.name])


def test_a_backup_that_is_whole_is_noted_in_its_database(
    source: Place, target: Place, marketplace: Marketplace, tmp_path: Path
) -> None:
    def age() -> float:
        found = vitals(source.databases)
        assert found is not None
        assert [run for run in found.work.runs if run.task == "backup"] == [], "nothing that the clock could miss"
        return found.backup_age

    assert age() == math.inf
    made = source.told("db", "backup", tmp_path / "copy.tar")
    assert 0 <= age() < 300
    with tarfile.open(tmp_path / "copy.tar") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None and json.load(manifest)["application"] == VERSION
    source.ask("UPDATE schedule_runs SET succeeded_at = succeeded_at - interval '1 day' WHERE task = 'backup'")
    assert 86_400 <= age() < 86_700
    next((source.folder / "files").rglob("photo-*")).unlink()
    assert source.run("db", "backup", tmp_path / "holes.tar", "--with-files").exit_code == 5
    assert 86_400 <= age() < 86_700, "one that lacks files is none"
    source.told("db", "backup", tmp_path / "next.tar")
    assert 0 <= age() < 300
    target.told("db", "restore", tmp_path / "copy.tar", code=5)  # the files were left out
    assert target.ask("SELECT task FROM schedule_runs") == [], "it was noted behind the snapshot"
    assert made["made_at"]


def test_a_database_that_cannot_be_told_of_its_backup_is_backed_up_all_the_same(
    source: Place, marketplace: Marketplace, tmp_path: Path
) -> None:
    source.ask("ALTER TABLE schedule_runs RENAME TO runs_of_another_release")
    result = source.run("db", "backup", tmp_path / "copy.tar")
    assert (result.exit_code, "could not be noted" in result.output) == (0, True)
    assert source.told("db", "verify", tmp_path / "copy.tar")["tables"] > 10


def test_check_compares_with_a_backup_and_finds_faults_of_the_schema(
    source: Place, marketplace: Marketplace, tmp_path: Path
) -> None:
    source.told("db", "backup", tmp_path / "copy.tar")
    assert source.told("db", "check", "--against", tmp_path / "copy.tar")["check"] == "ok"
    source.ask("UPDATE listings SET title = 'Other' WHERE listing_id = (SELECT min(listing_id) FROM listings)")
    source.ask("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_sessions_user_id'::regclass")
    found = source.told("db", "check", "--against", tmp_path / "copy.tar", code=1)
    assert found["findings"][0] == "index public.ix_sessions_user_id is not valid: REINDEX INDEX it"
    assert found["findings"][1] == "public.listings has as many rows as the backup, but not the same"


def test_the_drill_with_deliveries_that_are_due_and_a_job_that_failed(
    source: Place, target: Place, marketplace: Marketplace, settings: Settings, tmp_path: Path
) -> None:
    assert source.ask("SELECT count(*) > 0 FROM deliveries WHERE status = 'due'") == [(True,)]
    source.ask("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = (SELECT min(id) FROM procrastinate_jobs)")
    source.ask("INSERT INTO job_errors (job_id, attempt, error) SELECT min(id), 1, 'OSError' FROM procrastinate_jobs")
    with source.databases.session() as session, session.begin():
        endpoint_id = make_webhook(session, "https://customer.example/hook").endpoint_id
        endpoints.edit(session, OPERATOR, settings, endpoint_id, changes={"description": "x" * 200})
        endpoints.test(session, OPERATOR, endpoint_id)
    source.told("db", "backup", tmp_path / "copy.tar", "--with-files")
    target.told("db", "restore", tmp_path / "copy.tar", "--without-jobs", "--end-sessions")
    assert target.ask("SELECT count(*) > 0 FROM deliveries WHERE status = 'skipped'") == [(True,)]
    # A copy calls nobody, and says why.
    webhook = "SELECT status, disabled_reason, left(description, 34), length(description) FROM webhook_endpoints"
    assert target.ask(webhook) == [("disabled", "by_hand", "Switched off in a restored copy. x", 200)]
    ended = "SELECT status, problem, next_attempt_at IS NULL, date_finished IS NOT NULL FROM webhook_deliveries"
    assert target.ask(ended) == [("failed", "restored", True, True)]
    assert webhooks.relay(target.databases) is None
    assert target.ask("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'webhooks'") == [(0,)]
    check = ("db", "check", "--contents", "--against", tmp_path / "copy.tar")
    assert target.told(*check)["check"] == "ok"
    # What a restore does not do is found as ever.
    target.ask("DELETE FROM deliveries WHERE status = 'skipped'")
    assert [told.partition(" has ")[0] for told in target.told(*check, code=1)["findings"]] == ["public.deliveries"]


def test_an_older_backup_is_restored_and_then_migrated(source: Place, target: Place, tmp_path: Path) -> None:
    assert source.run("--yes", "db", "downgrade", "0003").exit_code == 0
    assert source.told("db", "backup", tmp_path / "copy.tar", "--with-files")["migration"] == "0003"
    restored = target.run("db", "restore", tmp_path / "copy.tar")
    assert restored.exit_code == 0
    assert "run `marketplace-admin db upgrade`" in restored.stdout
    assert target.run("db", "upgrade").exit_code == 0
    assert target.told("db", "check")["check"] == "ok"
