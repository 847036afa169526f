"""What `marketplace-admin doctor` finds, which remedy it names, and that it leaves everything as it is."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from click.testing import Result

from marketplace_api.app import configure
from marketplace_api.config.settings import Settings
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases
from marketplace_api.diagnostics.inspector import inspect
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import make_storage
from tests.factories.accounts import make_user
from tests.factories.files import give_video, make_photo
from tests.factories.listings import make_listing
from tests.factories.verifications import Office
from tests.support.rights import kept_out_by_rights
from tests.support.server import served
from tests.unit.cli.faults import free_port

Run = Callable[..., Result]


def _findings(run: Run) -> dict[str, dict[str, str]]:
    result = run("--json", "doctor")
    assert "Traceback" not in result.output
    assert "secretpw" not in result.output
    findings = {row["check"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == int("problem" in {row["state"] for row in findings.values()})
    assert all(row["remedy"] for row in findings.values() if row["state"] != "ok")
    return findings


def _states(run: Run) -> dict[str, str]:
    return {check: row["state"] for check, row in _findings(run).items()}


def test_it_finds_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _states(run)["jobs"] == "warning"
    assert {state for check, state in _states(run).items() if check != "jobs"} == {"ok"}
    run("--yes", "db", "downgrade", "base")
    assert _states(run)["migrations"] == "problem"
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secretpw@127.0.0.1:1/x")
    assert "Start it" in _findings(run)["database"]["remedy"]


def test_every_wrong_setting_is_a_finding_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_BCRYPT_COST", "banana")
    monkeypatch.setenv("JWT_KEYS", "rubbish")
    monkeypatch.setenv("DATABASE_URL", "mysql://u:secretpw@host/x")
    monkeypatch.setenv("EMAIL_BACKEND", "smtp")
    result = run("--json", "doctor")
    assert result.exit_code == 1
    assert "secretpw" not in result.output
    findings = json.loads(result.stdout)
    assert {row["check"] for row in findings} == {"settings"}
    assert all(row["state"] == "problem" and row["remedy"] for row in findings)
    for name in ("AUTH_BCRYPT_COST", "JWT_KEYS", "DATABASE_URL", "SMTP_URL"):
        assert sum(name in row["detail"] for row in findings) == 1


def test_a_port_that_is_none_and_a_key_that_is_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "http_port" in run("--set", "http_prot=7000", "doctor").stdout
    monkeypatch.setenv("PORT", "banana")
    assert "PORT" in _findings(run)["settings"]["detail"]


def test_the_realtime_process_is_sought_where_up_starts_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("PORT", str(port))
    assert f":{port + 1} " in _findings(run)["realtime"]["detail"]
    monkeypatch.setenv("REALTIME_PORT", "6544")
    assert ":6544 " in _findings(run)["realtime"]["detail"]


def test_rows_that_have_just_died_are_left_to_autovacuum(committed_databases: Databases) -> None:
    statements = (
        "CREATE TABLE emptied (id int)",
        "INSERT INTO emptied SELECT generate_series(1, 2000)",
        "DELETE FROM emptied",
        "SELECT pg_stat_force_next_flush()",
    )
    with psycopg.connect(committed_databases.owner_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
    with inspect(committed_databases.owner_url) as inspector:
        assert "emptied" in inspector.bloated_tables(1000, 0.5, timedelta())
        assert inspector.bloated_tables(1000, 0.5, timedelta(hours=12)) == []


def test_a_folder_is_looked_at_and_not_made(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "new"))
    findings = _findings(run)
    assert findings["data folder"]["state"] == "ok"
    assert "will make" in findings["files"]["detail"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file" / "new"))
    assert _states(run)["data folder"] == "problem"


def test_folders_that_take_no_messages(run: Run, tmp_path: Path) -> None:
    found = _findings(run)
    assert {found[check]["state"] for check in ("mail", "text messages", "web push")} == {"ok"}
    for name in ("mail", "sms"):
        (tmp_path / name).write_text("in the way")
    closed = tmp_path / "push"
    closed.mkdir(mode=0o500)
    with kept_out_by_rights():
        found = _findings(run)
    assert {found[check]["state"] for check in ("mail", "text messages", "web push")} == {"problem"}
    assert f"{tmp_path}/mail cannot be written" in found["mail"]["detail"]
    assert "right to write" in found["web push"]["remedy"]


def test_an_embedded_server_is_not_started(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "embedded")
    finding = _findings(run)["database"]
    assert finding["state"] == "warning"
    assert "is not running" in finding["detail"]
    assert "make run" in finding["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_server_that_runs_is_used(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "embedded")
    with EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        assert "create it" in _findings(run)["database"]["remedy"].lower()
        server.ensure_database()
        assert _states(run)["migrations"] == "problem"
        assert server.find_running() == server.url()
    assert server.find_running() is None


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("smtp://127.0.0.1:1", "host and port in SMTP_URL"),
        ("smtp://nowhere.invalid", "host name in SMTP_URL"),
        ("smtps://127.0.0.1:{port}", "smtps:// for port 465"),
        ("smtp://127.0.0.1:{port}?starttls=1", "ake starttls=1 out"),
        ("smtp://user:secretpw@127.0.0.1:{port}", "%40 for @"),
    ],
)
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_mail_that_cannot_leave_is_told_what_to_set(
    url: str, remedy: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    refusing = Controller(
        object(),
        hostname="127.0.0.1",
        port=port,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
    )
    refusing.start()
    try:
        monkeypatch.setenv("EMAIL_BACKEND", "smtp")
        monkeypatch.setenv("SMTP_URL", url.format(port=port))
        finding = _findings(run)["mail"]
    finally:
        refusing.stop()
    assert finding["state"] == "problem"
    assert remedy in finding["remedy"]


def test_a_bucket_without_its_name(run: Run, monkeypatch: pytest.MonkeyPatch, committed_databases: Databases) -> None:
    monkeypatch.setenv("STORAGE_BACKEND", "s3")
    assert "S3_BUCKET" in _findings(run)["settings"]["detail"]


def test_a_check_that_cannot_look_ends_none_of_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file"))
    found = _findings(run)
    assert found["data folder"]["state"] == "problem"
    assert "NotADirectoryError" in found["database"]["detail"]
    assert "mail" in found


def test_files_that_are_gone_from_a_storage_that_works(
    run: Run, committed_databases: Databases, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    storage = make_storage(settings)
    with committed_databases.session() as session:
        listing = make_listing(session, make_user(session))
        full_key = make_photo(session, listing, storage).full_key
        poster_key = give_video(session, listing, storage).poster_key
        owner = make_user(session)
        session.commit()
        Office(session, committed_databases, storage, DocumentKeys.from_settings(settings)).submit(owner)
    assert _findings(run)["stored files"]["detail"] == "the newest 4 are there"
    for lost in (poster_key, full_key):
        storage.delete(lost)
        assert f" of the newest 4 are not in {tmp_path}/files, such as" in _findings(run)["stored files"]["detail"]
    shutil.rmtree(tmp_path / "files")
    found = _findings(run)
    assert found["files"]["state"] == "ok", "the folder can be made and written"
    assert found["stored files"]["state"] == "problem"
    assert found["stored files"]["detail"].startswith("4 of the newest 4")
    assert "backup" in found["stored files"]["remedy"]


def test_the_api_that_answers_must_be_ours(
    run: Run, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = configure(Settings(data_dir=tmp_path), committed_databases).make_wsgi_app()
    with served(app) as address:
        monkeypatch.setenv("PORT", address.rpartition(":")[2])
        assert _findings(run)["port"]["detail"].startswith("the API answers at")
        monkeypatch.setenv("MARKETPLACE_SECRET", "0123456789abcdef" * 2)
        assert "of another installation" in _findings(run)["port"]["detail"]
        monkeypatch.delenv("MARKETPLACE_SECRET")
        monkeypatch.setenv("DATABASE_URL", "embedded")
        found = _findings(run)
        assert (found["port"]["state"], found["database"]["state"]) == ("problem", "warning")
        assert "DATA_DIR" in found["port"]["remedy"]
