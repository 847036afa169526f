"""What a monitor is really told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client import generate_latest

from marketplace_api.database.engines import Databases
from marketplace_api.realtime import metrics as realtime
from tests.support.client import Client

RUN = sa.text(
    "INSERT INTO schedule_runs (task, outcome, started_at, finished_at, succeeded_at, next_due_at) "
    "VALUES ('recount', 'done', now(), now(), now(), now())"
)


@pytest.fixture
def metrics(client: Client, worker_databases: Databases) -> Iterator[dict[str, set[str]]]:
    """After some traffic and a run of the clock: every name of a sample in ``/metrics``, and the names of its labels."""
    # Metrics look at the database by a connection of their own, so it is committed, and taken back.
    with worker_databases.write.begin() as connection:
        connection.execute(RUN)
    yield _told(client)
    with worker_databases.write.begin() as connection:
        connection.execute(sa.text("DELETE FROM schedule_runs"))


def _told(client: Client) -> dict[str, set[str]]:
    for path in ("/api", "/api/listings", "/api/listings/1", "/nowhere"):
        client.get(path)
    found: dict[str, set[str]] = {}
    realtime.CLIENTS.labels("socket").set(0)
    realtime.PUSHES.labels("message.created").inc(0)
    realtime.ENDED.labels("lost").inc(0)
    told_by_both = client.get("/metrics").text + generate_latest(realtime.REGISTRY).decode()
    for line in told_by_both.splitlines():
        if line.startswith("marketplace_"):
            name, _, labels = line.partition("{")
            told = re.findall(r'([a-z_]+)="', labels)
            found.setdefault(name.partition(" ")[0], set()).update(told)
    return found
