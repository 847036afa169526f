"""What a monitor is really told."""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest

from marketplace_api.realtime import metrics as realtime
from tests.client import Client


@pytest.fixture
def metrics(client: Client) -> dict[str, set[str]]:
    """After some traffic: every name of a sample in ``/metrics``, and the names of its labels."""
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
