"""What `/metrics` tells: what the processes of this machine have counted, and how database, queue and disk are now."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.diagnostics.queries import DeliveryFacts, WebhookFacts
from marketplace_api.domain.operations.health import Vitals, Work, database_state, put_off, vitals
from marketplace_api.domain.operations.neighbours import Neighbours, degraded
from marketplace_api.version import VERSION
from marketplace_api.views.operations.pools import sample

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where processes count together; without it each of them answers for itself."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def exposition(settings: Settings, databases: Databases, neighbours: Neighbours) -> bytes:
    """All metrics in Prometheus' text format."""
    folder = os.environ.get(FOLDER_VARIABLE)
    sample(databases)
    counted, present = REGISTRY, CollectorRegistry()
    if folder:
        _forget_dead(folder)
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    present.register(_Present(settings, databases, neighbours, _processes(folder)))
    return generate_latest(counted) + generate_latest(present)


class _Present(Collector):
    """What is looked up when it is asked for, because it belongs to no process alone."""

    def __init__(self, settings: Settings, databases: Databases, neighbours: Neighbours, processes: list[int]) -> None:
        self._settings, self._databases, self._processes = settings, databases, processes
        self._neighbours = neighbours

    def describe(self) -> list[Metric]:
        """Nothing beforehand: to register must ask nobody."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _labelled("marketplace_build_info", "The version that runs.", "version", {VERSION: 1})
        yield _labelled(
            "marketplace_process_memory_bytes", "Resident memory of each API process.", "pid", _memory(self._processes)
        )
        yield from self._disk()
        asked = self._neighbours.begin()
        began = time.perf_counter()
        states = database_state(self._databases)
        checks = {name: int(state == "ok") for name, state in states.items()}
        yield _labelled("marketplace_ready", "Whether it is as it should be (1) or not (0).", "check", checks)
        found = vitals(self._databases) if checks["database"] else None
        yield _gauge(
            "marketplace_database_look_seconds", "Time that looking at the database took.", time.perf_counter() - began
        )
        if found is not None:
            yield from _of_database(found)
            waiting = put_off(self._databases) or {}
            yield _labelled(
                "marketplace_deliveries_put_off",
                "Notifications that failed and wait for their next attempt.",
                "channel",
                {way.channel: waiting.get(way.channel, 0) for way in found.deliveries},
            )
        states = asked()
        weak = {name: int(name in degraded(states)) for name in states}
        yield _labelled(
            "marketplace_degraded",
            "Whether a neighbour is away (1); not (0) also where none is configured.",
            "check",
            weak,
        )

    def _disk(self) -> Iterator[Metric]:
        with suppress(OSError):
            space = shutil.disk_usage(self._settings.data_dir)
            yield _gauge("marketplace_disk_size_bytes", "Size of the disk that holds DATA_DIR.", space.total)
            yield _gauge("marketplace_disk_free_bytes", "What is free of it for this user.", space.free)


def _of_database(found: Vitals) -> Iterator[Metric]:
    yield from _of_jobs(found.work)
    yield from _of_retries(found)
    yield _gauge("marketplace_workers", "Workers that gave a sign of life within a minute.", found.work.workers)
    yield from _of_webhooks(found.webhooks)
    yield from _of_deliveries(found.deliveries)
    yield _gauge(
        "marketplace_backup_age_seconds",
        "How old the newest backup is; infinite where there is none.",
        found.backup_age,
    )
    yield _labelled(
        "marketplace_database_connections", "Connections to the database, of all machines.", "state", found.connections
    )
    yield _gauge("marketplace_database_connections_limit", "max_connections of the server.", found.most_connections)
    yield _gauge(
        "marketplace_event_feed_lag_seconds", "How long the first event waits that cannot be told yet.", found.feed_lag
    )


def _of_jobs(work: Work) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "marketplace_jobs",
        "Jobs by queue and status; stalled ones are among those being done.",
        labels=["queue", "status"],
    )
    for queue in work.queues:
        for status in ("todo", "doing", "failed", "stalled"):
            jobs.add_metric([queue.queue, status], getattr(queue, status))
    yield jobs
    oldest = {queue.queue: queue.oldest_seconds for queue in work.queues}
    yield _labelled("marketplace_jobs_oldest_seconds", "How long the oldest due job of a queue waits.", "queue", oldest)
    succeeded = {run.task: run.succeeded_at.timestamp() for run in work.runs if run.succeeded_at is not None}
    yield _labelled(
        "marketplace_schedule_succeeded_seconds",
        "When a task of the schedule last succeeded, since 1970.",
        "task",
        succeeded,
    )
    overdue = {run.task: run.overdue_seconds for run in work.runs}
    yield _labelled(
        "marketplace_schedule_overdue_seconds", "For how long a run of it should have succeeded.", "task", overdue
    )


def _of_retries(found: Vitals) -> Iterator[Metric]:
    retried = {queue.queue: found.retried.get(queue.queue, (0, 0.0)) for queue in found.work.queues}
    counts = {queue: count for queue, (count, _) in retried.items()}
    ages = {queue: seconds for queue, (_, seconds) in retried.items()}
    yield _labelled("marketplace_jobs_retried", "Jobs that failed and will be tried again.", "queue", counts)
    yield _labelled("marketplace_jobs_retried_seconds", "How long the first of them has been failing.", "queue", ages)


def _of_deliveries(ways: Sequence[DeliveryFacts]) -> Iterator[Metric]:
    about = {
        "due": "Notifications that should have left the house by now.",
        "failed": "Notifications that were given up.",
        "oldest_seconds": "How long the oldest due one waits.",
    }
    for name, said in about.items():
        values = {way.channel: float(getattr(way, name)) for way in ways}
        yield _labelled(f"marketplace_deliveries_{name}", said, "channel", values)


def _of_webhooks(found: WebhookFacts) -> Iterator[Metric]:
    endpoints = {"enabled": found.enabled, "disabled": found.disabled}
    yield _labelled("marketplace_webhook_endpoints", "Endpoints of webhooks by status.", "status", endpoints)
    outcomes = {"delivered": found.delivered, "failed": found.failed, "waiting": found.waiting}
    yield _labelled("marketplace_webhook_deliveries", "Deliveries of webhooks by outcome.", "outcome", outcomes)
    yield _gauge(
        "marketplace_webhook_oldest_seconds",
        "How long the oldest due delivery of a webhook waits.",
        found.oldest_seconds,
    )


def _forget_dead(folder: str) -> None:
    """What processes that are gone said of their present state counts no more; what they counted does."""
    if Path("/proc/self").exists():
        for process in _processes(folder):
            if not Path(f"/proc/{process}").exists():
                mark_process_dead(process, folder)  # type: ignore[no-untyped-call]


def _processes(folder: str | None) -> list[int]:
    """The processes that count into ``folder``, as far as they live; else this one."""
    if not folder:
        return [os.getpid()]
    names = (path.stem.rpartition("_")[2] for path in Path(folder).glob("*.db"))
    return sorted({int(name) for name in names if name.isdigit()})


def _memory(processes: list[int]) -> dict[str, float]:
    """Bytes by process id; only where there is /proc."""
    found = {}
    for process in processes:
        with suppress(OSError):
            found[str(process)] = float(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES
    return found


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value)


def _labelled(name: str, about: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
