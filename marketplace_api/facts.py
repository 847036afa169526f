"""What a look at a running PostgreSQL tells: server, queue, files, tables, replica. It reads and changes nothing.

`marketplace-admin doctor` judges these facts; `/metrics` tells those of the queue and of the connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from marketplace_api.db import libpq_url
from marketplace_api.row_security import SYSTEM

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 5

Row = TypeVar("Row")

_SERVER = """
SELECT current_setting('server_version') AS version, clock_timestamp() AS now, current_database()::text AS database,
    pg_encoding_to_char(d.encoding)::text AS encoding, current_setting('TimeZone') AS time_zone,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections,
    nullif(least(nullif(d.datconnlimit, -1), nullif(r.rolconnlimit, -1)), -1) AS connection_limit,
    current_setting('autovacuum')::bool AS autovacuum, age(d.datfrozenxid)::bigint AS transactions,
    current_setting('autovacuum_freeze_max_age')::bigint AS freeze_after,
    ARRAY(SELECT extname::text FROM pg_extension) AS extensions,
    to_regclass('procrastinate_jobs') IS NOT NULL AS has_queue, to_regclass('files') IS NOT NULL AS has_files,
    to_regclass('verifications') IS NOT NULL AS has_documents
FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user
"""

QUEUE = """
SELECT
    (SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '1 minute') AS workers,
    (SELECT count(*) FROM (SELECT FROM procrastinate_jobs WHERE status = 'todo' LIMIT 100000) AS waiting) AS todo,
    (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing') AS doing,
    (SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed') AS failed,
    (SELECT count(*) FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
        WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - interval '2 minutes')) AS stalled,
    coalesce((SELECT extract(epoch FROM now() - min(due)) FROM (
        SELECT coalesce(j.scheduled_at, (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id)) AS due
        FROM procrastinate_jobs j WHERE j.status = 'todo' AND coalesce(j.scheduled_at, now()) <= now()
        ORDER BY j.id LIMIT 200) AS oldest), 0)::float8 AS oldest_seconds
"""
"""One row, whose columns are the fields of :class:`QueueFacts`; more waiting jobs than that are not counted."""

CONNECTIONS = "SELECT state, count FROM connection_states()"
"""Rows of ``state`` and ``count``: the connections to this database, of all processes on all machines."""

DELIVERIES = "SELECT channel, due, failed, oldest_seconds FROM delivery_states()"
"""Rows whose columns are the fields of :class:`DeliveryFacts`."""

_BLOATED = """
SELECT s.relname::text FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE (s.n_dead_tup > %(least)s AND s.n_dead_tup > s.n_live_tup * %(share)s)
    OR c.reloptions && ARRAY['autovacuum_enabled=off', 'autovacuum_enabled=false'] ORDER BY s.n_dead_tup DESC
"""

_FILES = """
SELECT (SELECT count(*) FROM files WHERE state = 'missing') AS missing,
    (SELECT count(*) FROM files WHERE state = 'pending' AND date_created < now() - interval '3 hours') AS unfinished,
    (SELECT extract(epoch FROM now())::bigint - max(defer_timestamp) FROM procrastinate_periodic_defers
        WHERE task_name = 'sweep_files') AS swept_seconds
"""

_REPLICA = """
SELECT pg_is_in_recovery() AS follows, current_database()::text AS database,
    (SELECT system_identifier::text FROM pg_control_system()) AS system,
    CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(%(written)s::pg_lsn, pg_last_wal_replay_lsn())::bigint
        ELSE 0 END AS bytes_behind,
    extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS seconds_behind
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A PostgreSQL and our database in it. ``connections`` are those that plain roles may use, ``connection_limit``
    what database or role allow of them; ``transactions`` is the age of the oldest one that is not frozen."""

    version: str
    now: datetime
    database: str
    encoding: str
    time_zone: str
    connections: int
    connection_limit: int | None
    autovacuum: bool
    transactions: int
    freeze_after: int
    extensions: list[str]
    has_queue: bool
    has_files: bool
    has_documents: bool


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The job queue: workers that gave a sign of life, jobs by status, and how long the oldest due one waits."""

    workers: int
    todo: int
    doing: int
    failed: int
    stalled: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """What is to leave the house by a channel: how many deliveries are due, for how long, and how many failed."""

    channel: str
    due: int
    failed: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Rows of files whose object is missing or never came, and the seconds since the last sweep was asked for."""

    missing: int
    unfinished: int
    swept_seconds: int | None


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """Where reads go; ``follows`` is false for a primary. ``system`` names the cluster that it is a copy of."""

    follows: bool
    database: str
    system: str
    bytes_behind: int
    seconds_behind: float | None


class Look:
    """One connection for all questions about one database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def server(self) -> ServerFacts:
        return self._one(ServerFacts, _SERVER)

    def queue(self) -> QueueFacts:
        return self._one(QueueFacts, QUEUE)

    def deliveries(self) -> list[DeliveryFacts]:
        """One for each channel; none before the migration that made them."""
        if not self._value("SELECT to_regproc('delivery_states') IS NOT NULL"):
            return []
        with self._connection.cursor(row_factory=class_row(DeliveryFacts)) as cursor:
            return cursor.execute(DELIVERIES.encode()).fetchall()

    def files(self) -> FileFacts:
        return self._one(FileFacts, _FILES)

    def connections_in_use(self) -> int:
        """Those to all databases of the server, which share its limit."""
        return int(self._value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))

    def bloated_tables(self, least: int, share: float) -> list[str]:
        """Tables with more dead rows than ``least`` and than ``share`` of the live ones, or without autovacuum."""
        rows = self._connection.execute(_BLOATED, {"least": least, "share": share}).fetchall()
        return [name for (name,) in rows]

    def unknown_keys(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys of files that have no row."""
        known = self._connection.execute("SELECT key FROM files WHERE key = ANY(%s)", [list(keys)]).fetchall()
        return sorted(set(keys) - {key for (key,) in known})

    def document_keys(self) -> dict[str, int]:
        """How many documents are sealed under each key."""
        counts = "SELECT key_id, count(*) FROM verifications WHERE key_id IS NOT NULL GROUP BY key_id"
        return dict(self._connection.execute(counts).fetchall())

    def written(self) -> str:
        """How far the primary's log is written."""
        return str(self._value("SELECT pg_current_wal_lsn()::text"))

    def system(self) -> str:
        """The identifier of the cluster, which its replicas share."""
        return str(self._value("SELECT system_identifier::text FROM pg_control_system()"))

    def replica(self, written: str) -> ReplicaFacts:
        """Asked of a replica: ``written`` is :meth:`written` of its primary."""
        return self._one(ReplicaFacts, _REPLICA, {"written": written})

    def _one(self, kind: type[Row], statement: str, parameters: Any = None) -> Row:
        with self._connection.cursor(row_factory=class_row(kind)) as cursor:
            row = cursor.execute(statement.encode(), parameters).fetchone()
        assert row is not None, "aggregates and look-ups of ourselves give one row"
        return row

    def _value(self, statement: str) -> Any:
        row = self._connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


@contextmanager
def looking(url: str) -> Iterator[Look]:
    """A look at the database at ``url``, read-only and impatient; raises psycopg's errors."""
    options = (
        f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_SECONDS * 1000} -c app.roles={SYSTEM}"
    )
    with psycopg.connect(
        libpq_url(url), autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="marketplace doctor",
        client_encoding="utf8", options=options,
    ) as connection:  # fmt: skip
        yield Look(connection)
