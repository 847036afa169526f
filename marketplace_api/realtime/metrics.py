"""What a realtime process counts of itself, for its own `/metrics`."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from marketplace_api.version import VERSION

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

REGISTRY = CollectorRegistry()

BUILD = Gauge("marketplace_build_info", "The version that runs.", ["version"], registry=REGISTRY)
BUILD.labels(VERSION).set(1)
CLIENTS = Gauge("marketplace_realtime_clients", "Open connections.", ["transport"], registry=REGISTRY)
PUSHES = Counter("marketplace_realtime_pushes_total", "Events pushed to clients.", ["event"], registry=REGISTRY)
LAG = Histogram(
    "marketplace_realtime_lag_seconds",
    "From the recording of an event to its push, of those who were connected.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
ENDED = Counter("marketplace_realtime_ended_total", "Connections that we ended.", ["reason"], registry=REGISTRY)
RESETS = Counter(
    "marketplace_realtime_resets_total", "Clients that were away too long to be brought up to date.", registry=REGISTRY
)
DEGRADED = Gauge("marketplace_degraded", "Whether a neighbour is away (1) or not (0).", ["check"], registry=REGISTRY)
FOLLOWING = Gauge("marketplace_realtime_following", "Whether the log is followed (1) or not (0).", registry=REGISTRY)
MEMORY = Gauge("marketplace_realtime_memory_bytes", "Resident memory of the process.", registry=REGISTRY)
