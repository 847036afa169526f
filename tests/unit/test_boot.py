"""From settings to a database, and a sentence that helps where that fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from marketplace_api import boot
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases


def _refusal(settings: Settings, url: str) -> str:
    with pytest.raises(boot.BootError) as caught:
        boot.open_databases(replace(settings, database_url=url))
    told = str(caught.value)
    assert "secretpw" not in told
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return told


@pytest.mark.parametrize("url", ["rubbish", "mysql://u:secretpw@h/x", "postgresql://u:secretpw@h:port/x"])
def test_what_is_no_url_is_said_so(settings: Settings, url: str) -> None:
    assert "must look like postgresql://" in _refusal(settings, url)


def test_each_refusal_says_what_to_do(settings: Settings, postgres_server: EmbeddedPostgres) -> None:
    address = postgres_server.url("postgres")
    place = address.rpartition("@")[2]
    assert "refused the password" in _refusal(settings, f"postgresql://marketplace:secretpw@{place}")
    assert "no database of that name" in _refusal(settings, postgres_server.url("there_is_none"))
    assert "is not running there" in _refusal(settings, "postgresql://u:secretpw@127.0.0.1:1/x")
    assert "check DATABASE_URL" in _refusal(settings, f"{address}?no_such_option=1")


def test_a_replica_is_tried_out_too(settings: Settings, worker_url: str) -> None:
    wrong = replace(settings, database_url=worker_url, database_read_url="postgresql://u:secretpw@127.0.0.1:1/x")
    with pytest.raises(boot.BootError, match="DATABASE_READ_URL"):
        boot.open_databases(wrong)


def test_an_old_server_and_missing_extensions_are_named(
    settings: Settings, worker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "OLDEST_VERSION", 99)
    assert "99 or newer is needed" in _refusal(settings, worker_url)
    monkeypatch.setattr(boot, "EXTENSIONS", ("pg_trgm", "no_such_extension"))
    with pytest.raises(boot.BootError, match=r"extension no_such_extension.*postgresql-contrib"):
        boot.check_extensions(worker_url)


def test_the_database_is_opened_for_a_block(settings: Settings, worker_url: str) -> None:
    with boot.opened(replace(settings, database_url=worker_url)) as databases:
        url = boot.connection_url(databases)
        assert boot.schema_is_current(url)


def test_an_empty_database_is_made_ready_once(settings: Settings, committed_databases: Databases) -> None:
    loaded: list[Settings] = []
    url = boot.connection_url(committed_databases)
    migrations.downgrade(url, "base")
    assert boot.current_revision(url) is None
    for _ in range(2):
        boot.development_ready(committed_databases, settings, lambda _databases, given: loaded.append(given))
    assert boot.current_revision(url) == migrations.head()
    assert loaded == [settings, settings]


def test_an_unusable_folder_is_said_so(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(boot.BootError, match="cannot use the folder"):
        boot.open_databases(replace(settings, database_url="embedded", data_dir=tmp_path / "file"))
