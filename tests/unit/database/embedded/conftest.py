"""Folders and servers of the embedded PostgreSQL."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from tests.unit.database.embedded.world import FAST, ask


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder that the tests share, because making one takes long; each test leaves it healthy."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with EmbeddedPostgres(Path(name) / "postgres", settings=FAST) as server:
            ask(server.ensure_database("shop"), "CREATE TABLE things AS SELECT 42 AS number")
        yield Path(name) / "postgres"


@pytest.fixture
def base() -> Iterator[Path]:
    """An empty folder, outside pytest's own, which are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def copy(base: Path, folder: Path) -> Path:
    """A copy of the shared folder, to spoil."""
    subprocess.run(["cp", "-a", folder, base / "copy"], check=True)
    return base / "copy"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers and stops them after the test."""
    servers: list[EmbeddedPostgres] = []

    def _make(where: Path = folder, **options: bool) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(where, settings=FAST, **options))
        return servers[-1]

    yield _make
    for server in servers:
        server.stop()
