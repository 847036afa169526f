"""The measurement: many connected people who write to each other, and some who come back after a while."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench import databases, servers
from bench.measure import percentile
from bench.people.plan import Plan
from bench.realtime.people import Sent, Thread, people_of, threads_among, writers
from bench.realtime.processes import SETTLE_SECONDS, Crowd, Receipt, crowd, realtime, worker
from marketplace_api.database.embedded_postgres import EmbeddedPostgres

MESSAGES = 100_000
"""In the database before."""
CLIENTS, SECONDS, PER_SECOND = 2_000, 30.0, 50
FIRST = 20
"""Clients that come and go before the memory without clients is read, so that what any client needs is there."""
MISSED = ((1, 10_000), (200, 50))
"""Clients that come back at once, and what each of them has missed."""
PATIENCE_SECONDS = 60.0
TABLES = ("users", "sessions", "conversations", "conversation_sides", "inboxes", "messages", "notifications")


@dataclass(frozen=True, slots=True)
class Size:
    """What is measured; smaller for tests."""

    messages: int = MESSAGES
    clients: int = CLIENTS
    seconds: float = SECONDS
    per_second: int = PER_SECOND
    missed: Sequence[tuple[int, int]] = MISSED


@dataclass
class Cpu:
    """CPU time of processes while a block runs, each as a share of one core."""

    pids: dict[str, int | None]
    shares: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def watched(self) -> Iterator[None]:
        began, before = time.monotonic(), self._spent()
        yield
        seconds = time.monotonic() - began
        self.shares = {name: round((spent - before[name]) / seconds, 3) for name, spent in self._spent().items()}

    def _spent(self) -> dict[str, float]:
        found = {name: servers.cpu_seconds(pid) for name, pid in self.pids.items() if pid is not None}
        if postmaster := self.pids["postgres"]:
            found["postgres"] = sum(map(servers.cpu_seconds, servers.tree(postmaster)))
        return found


def measure(server: EmbeddedPostgres, folder: Path, size: Size) -> dict[str, Any]:
    """Everything, each part on a fresh copy of the filled database."""
    filled = databases.database(server, size.messages, databases.PEOPLE)
    postmaster = servers.postmaster(folder / "postgres")
    results: dict[str, Any] = {"live": [], "missed": []}
    for with_worker in (False, True):
        with databases.copied(server, filled) as url:
            databases.warm(url, TABLES)
            results["live"].append(_live(url, folder, size, postmaster, with_worker=with_worker))
    for clients, each in size.missed:
        with databases.copied(server, filled) as url:
            databases.warm(url, TABLES)
            results["missed"].append(_missed(url, folder, size, postmaster, clients, each))
    return results


def _live(url: str, folder: Path, size: Size, postmaster: int | None, *, with_worker: bool) -> dict[str, Any]:
    """People are connected, and some of them write to others."""
    threads = threads_among(url, Plan(size.messages), size.clients)
    people = people_of(threads)
    with realtime(url, folder) as server, crowd(server) as clients, writers(url) as hands:
        clients.connect(people[:FIRST])
        clients.close()
        time.sleep(SETTLE_SECONDS)
        empty = servers.resident_mb(server.pid)
        entering = Cpu({"realtime": server.pid, "postgres": postmaster, "clients": clients.pid})
        with entering.watched():
            _, seconds = clients.connect(people)
        time.sleep(SETTLE_SECONDS)
        full = servers.resident_mb(server.pid)
        clients.received(0, 0)
        with worker(url, folder) if with_worker else nullcontext() as beside:
            cpu = Cpu({**entering.pids, "worker": beside, "sender": os.getpid()})
            began = time.time()
            with cpu.watched():
                sent = hands.write_for(threads, size.seconds, size.per_second)
            took = time.time() - began
            receipts = _settled(clients, sent, with_worker=with_worker)
        return {
            "worker": with_worker,
            "clients": len(people),
            "conversations": len(threads),
            "still_open": clients.open,
            "connect_seconds": round(seconds, 2),
            "connect_cpu": entering.shares,
            "empty_mb": round(empty, 1),
            "full_mb": round(full, 1),
            "kb_each": round(1024 * (full - empty) / len(people), 1),
            "messages": len(sent),
            "per_second": round(len(sent) / took, 1),
            "cpu": cpu.shares,
            **_delays(sent, receipts),
        }


def _settled(clients: Crowd, sent: Sequence[Sent], *, with_worker: bool) -> list[Receipt]:
    """What the clients have received once everything that is due has come, and a moment later."""
    receipts = clients.received(2 * len(sent), PATIENCE_SECONDS)
    if with_worker:
        told = sum(receipt.name == "notification.created" for receipt in receipts)
        receipts += clients.received(len(sent) - told, PATIENCE_SECONDS, "notification.created")
    time.sleep(SETTLE_SECONDS)
    return receipts + clients.received(0, 0)


def _delays(sent: Sequence[Sent], receipts: Sequence[Receipt]) -> dict[str, Any]:
    moments = {message.message_id: message.moment for message in sent}
    due = {(person, each.message_id) for each in sent for person in (each.sender, each.receiver)}
    got = Counter((each.user, each.about) for each in receipts if each.name == "message.created")
    told = [each for each in receipts if each.name == "notification.created" and each.about in moments]
    return {
        "delivered": sum(got.values()),
        "lost": len(due - got.keys()),
        "strange": len(got.keys() - due),
        "doubled": sum(number - 1 for number in got.values()),
        "ms": _percentiles(
            [
                each.moment - moments[each.about]
                for each in receipts
                if each.name == "message.created" and each.about in moments
            ]
        ),
        "unread": sum(each.name == "unread.changed" for each in receipts),
        "notifications": sum(each.name == "notification.created" for each in receipts),
        "notification_ms": _percentiles([each.moment - moments[each.about] for each in told]),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return (
        {
            name: round(1000 * percentile(seconds, share), 1)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("most", 1.0))
        }
        if seconds
        else {}
    )


def _missed(url: str, folder: Path, size: Size, postmaster: int | None, clients: int, each: int) -> dict[str, Any]:
    """So many clients come back at once who were away while each of them got so many messages."""
    threads = _apart(threads_among(url, Plan(size.messages), size.clients), max(1, clients // 2))
    people = people_of(threads)[:clients]
    with psycopg.connect(url) as connection:
        (last_id,) = connection.execute("SELECT max(event_id) FROM events").fetchone() or (0,)
    with writers(url) as hands:
        hands.write(threads, each)
    with realtime(url, folder) as server, crowd(server) as returning:
        time.sleep(SETTLE_SECONDS)
        cpu = Cpu({"realtime": server.pid, "postgres": postmaster, "clients": returning.pid})
        with cpu.watched():
            began, _ = returning.connect(people, last_id)
            receipts = returning.received(clients * each, 2 * PATIENCE_SECONDS)
        messages = [receipt for receipt in receipts if receipt.name == "message.created"]
        got = Counter((receipt.user, receipt.about) for receipt in messages)
        if len(got) != clients * each or len(messages) != len(got):
            raise RuntimeError(f"{clients} clients missed {each} each, but {len(messages)} came, {len(got)} different.")
        ends = {receipt.user: receipt.moment - began for receipt in messages}
        seconds = max(ends.values())
        return {
            "clients": clients,
            "each": each,
            "seconds": round(seconds, 2),
            "per_second": round(len(messages) / seconds),
            "median_seconds": round(percentile(list(ends.values()), 0.5), 2),
            "cpu": cpu.shares,
        }


def _apart(threads: Sequence[Thread], number: int) -> list[Thread]:
    """So many conversations of which nobody is in two."""
    found: list[Thread] = []
    taken: set[int] = set()
    for thread in threads:
        if len(found) < number and not taken & set(thread.people):
            found.append(thread)
            taken |= set(thread.people)
    return found
