"""What decides whether a process is sent requests, and what is only told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.operations.neighbours import SILENT
from marketplace_api.gateways.storage.s3 import S3Storage
from tests.support.client import Client

CHECKS = {"database", "migrations", "storage", "redis", "disk", "mail", "replica"}
PROXY_SECONDS = 3


@pytest.fixture
def caller(live_app: Any) -> Client:
    return Client(live_app)


@pytest.fixture
def silent_storage(live_app: Any) -> Iterator[None]:
    """A bucket at a server that takes connections and never answers: what a firewall makes of it."""
    before = live_app.registry.storage
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        live_app.registry.storage = S3Storage.from_settings(
            Settings(
                storage_backend="s3",
                storage_bucket="photos",
                storage_endpoint=f"http://127.0.0.1:{server.getsockname()[1]}",
                storage_access_key="key",
                storage_secret_key="secret",
            )
        )
        yield
    live_app.registry.storage = before
    deadline = time.monotonic() + 60
    while live_app.registry.neighbours.states()["storage"] == SILENT:
        assert time.monotonic() < deadline, "the last look did not end"


def test_all_is_well_and_named(caller: Client) -> None:
    ready = caller.get("/readyz")
    assert (ready.status_int, ready.json["status"], ready.json["degraded"]) == (200, "ready", [])
    assert set(ready.json["checks"]) == CHECKS
    told = caller.get("/metrics").text
    for name in CHECKS - {"database", "migrations"}:
        assert f'marketplace_degraded{{check="{name}"}} 0.0' in told


@pytest.mark.usefixtures("silent_storage")
def test_a_storage_that_never_answers_does_not_let_the_proxy_wait(caller: Client) -> None:
    for _ in range(3):
        began = time.monotonic()
        ready = caller.get("/readyz")
        assert time.monotonic() - began < PROXY_SECONDS
        assert (ready.status_int, ready.json["status"], ready.json["degraded"]) == (200, "degraded", ["storage"])
        assert ready.json["checks"]["storage"] == SILENT
    assert 'marketplace_degraded{check="storage"} 1.0' in caller.get("/metrics").text
    assert caller.get("/api/listings").status_int == 200


def test_a_replica_that_is_away_makes_nothing_unready(
    caller: Client, configured: Any, committed_databases: Databases
) -> None:
    configured[1].target = halved = make_databases(committed_databases.owner_url, "postgresql://u@127.0.0.1:1/x")
    ready = caller.get("/readyz")
    assert (ready.status_int, ready.json["degraded"]) == (200, ["replica"])
    halved.dispose()


def test_without_the_database_nothing_else_counts(caller: Client, configured: Any) -> None:
    configured[1].target = away = make_databases("postgresql://u@127.0.0.1:1/x")
    ready = caller.get("/readyz")
    assert (ready.status_int, ready.json["status"]) == (503, "unavailable")
    assert ready.json["checks"]["database"] == "unavailable" and ready.json["checks"]["storage"] == "ok"
    assert int(ready.headers["Retry-After"]) >= 1
    away.dispose()
