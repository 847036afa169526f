"""Inspecting a running PostgreSQL: server, tables, files, replica, and what ``queries`` asks. It changes nothing.

`marketplace-admin doctor` judges these facts.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from marketplace_api.database.engines import libpq_url
from marketplace_api.database.row_security import SYSTEM
from marketplace_api.database.session_settings import set_up
from marketplace_api.diagnostics import schema
from marketplace_api.diagnostics.errors import translated
from marketplace_api.diagnostics.queries import (
    DELIVERIES,
    EVENT_LOG,
    PUT_OFF,
    QUEUES,
    RETRIED,
    RUNS,
    WORKERS,
    DeliveryFacts,
    EventLogFacts,
    QueueFacts,
    RetriedFacts,
    RunFacts,
)

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
    to_regclass('procrastinate_jobs') IS NOT NULL AS has_queue, to_regclass('schedule_runs') IS NOT NULL AS has_runs,
    to_regclass('files') IS NOT NULL AS has_files, to_regclass('verifications') IS NOT NULL AS has_documents,
    to_regclass('events_rest') IS NOT NULL AS has_months
FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user
"""

_LACKS_ADMIN = """
SELECT EXISTS (SELECT FROM users)
    AND NOT EXISTS (SELECT FROM users WHERE roles @> ARRAY['admin'] AND state = 'active')
"""

CONNECTIONS = "SELECT state, count FROM connection_states()"
"""Rows of ``state`` and ``count``: the connections to this database, of all processes on all machines."""

# Autovacuum comes round once a minute, and at a server that has just started has not been anywhere yet.
_BLOATED = """
SELECT s.relname::text FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE (s.n_dead_tup > %(least)s AND s.n_dead_tup > s.n_live_tup * %(share)s
        AND greatest(s.last_autovacuum, s.last_vacuum, pg_postmaster_start_time()) < now() - %(patience)s::interval)
    OR c.reloptions && ARRAY['autovacuum_enabled=off', 'autovacuum_enabled=false'] ORDER BY s.n_dead_tup DESC
"""

_FILES = """
SELECT (SELECT count(*) FROM files WHERE state = 'missing') AS missing,
    (SELECT count(*) FROM files WHERE state = 'pending' AND date_created < now() - interval '3 hours') AS unfinished,
    (SELECT extract(epoch FROM now())::bigint - max(defer_timestamp) FROM procrastinate_periodic_defers
        WHERE task_name = 'sweep_files') AS swept_seconds
"""

# The newest, for they are what people look at; by the indexes of what owns them, as files themselves have none by time.
_NEWEST_FILES = """
SELECT f.key FROM (
    (SELECT full_key AS key FROM listing_photos ORDER BY photo_id DESC LIMIT %(count)s)
    UNION ALL (SELECT file_key FROM verifications ORDER BY verification_id DESC LIMIT %(count)s)
    UNION ALL SELECT unnest(ARRAY[video_key, poster_key])
        FROM (SELECT * FROM listing_videos ORDER BY listing_id DESC LIMIT %(count)s) AS video
    UNION ALL SELECT unnest(ARRAY[card_key, thumb_key])
        FROM (SELECT * FROM user_pictures ORDER BY user_id DESC LIMIT %(count)s) AS picture
) AS newest JOIN files f ON f.key = newest.key WHERE f.state = 'stored'
"""

SYSTEM_IDENTIFIER = "SELECT CAST(system_identifier AS text) || '/' || current_database() FROM pg_control_system()"
"""What no two databases share: the cluster, and the name in it."""

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
    has_runs: bool
    has_files: bool
    has_documents: bool
    has_months: bool


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


class DatabaseInspector:
    """One connection for all questions about one database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def server(self) -> ServerFacts:
        return self._one(ServerFacts, _SERVER)

    def workers(self) -> int:
        """Those that gave a sign of life within a minute."""
        return int(self._value(WORKERS))

    def queues(self) -> list[QueueFacts]:
        """Those that hold any job."""
        return self._all(QueueFacts, QUEUES)

    def retried(self, least_seconds: float) -> list[RetriedFacts]:
        """The queues with jobs that have been failing for so long, and are still tried."""
        with self._connection.cursor(row_factory=class_row(RetriedFacts)) as cursor:
            return cursor.execute(RETRIED.encode(), {"least": least_seconds}).fetchall()

    def lacks_admin(self) -> bool:
        """Whether there are accounts, and none of them is an active admin."""
        return bool(self._value("SELECT to_regclass('users') IS NOT NULL") and self._value(_LACKS_ADMIN))

    def runs(self) -> list[RunFacts]:
        """The tasks of the schedule that have ever run."""
        return self._all(RunFacts, RUNS)

    def deliveries(self) -> list[DeliveryFacts]:
        """One for each channel; none before the migration that made them."""
        if not self._value("SELECT to_regproc('delivery_states') IS NOT NULL"):
            return []
        with self._connection.cursor(row_factory=class_row(DeliveryFacts)) as cursor:
            return cursor.execute(DELIVERIES.encode()).fetchall()

    def put_off(self) -> dict[str, int]:
        """How many deliveries failed and wait for their next attempt, by channel."""
        return dict(self._connection.execute(PUT_OFF).fetchall())

    def files(self) -> FileFacts:
        return self._one(FileFacts, _FILES)

    def event_log(self) -> EventLogFacts:
        return self._one(EventLogFacts, EVENT_LOG)

    def connections_in_use(self) -> int:
        """Those to all databases of the server, which share its limit."""
        return int(self._value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))

    def bloated_tables(self, least: int, share: float, patience: timedelta) -> list[str]:
        """Tables without autovacuum, or that it has not visited for so long, with more dead rows than ``least`` and
        than ``share`` of the live ones."""
        wanted = {"least": least, "share": share, "patience": patience}
        rows = self._connection.execute(_BLOATED, wanted).fetchall()
        return [name for (name,) in rows]

    def unknown_keys(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys of files that have no row."""
        known = self._connection.execute("SELECT key FROM files WHERE key = ANY(%s)", [list(keys)]).fetchall()
        return sorted(set(keys) - {key for (key,) in known})

    def newest_files(self, count: int) -> list[str]:
        """Keys of the newest photos, videos, profile pictures and documents, ``count`` of each, that must be stored."""
        return [key for (key,) in self._connection.execute(_NEWEST_FILES, {"count": count}).fetchall()]

    def still_stored(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys whose files are in use now."""
        statement = "SELECT key FROM files WHERE key = ANY(%s) AND state = 'stored' ORDER BY key"
        return [key for (key,) in self._connection.execute(statement, [list(keys)]).fetchall()]

    def installation(self, secret: str) -> str:
        """See :func:`installation_id`."""
        return installation_id(str(self._value(SYSTEM_IDENTIFIER)), secret)

    def document_keys(self) -> dict[str, int]:
        """How many documents are sealed under each key."""
        counts = "SELECT key_id, count(*) FROM verifications WHERE key_id IS NOT NULL GROUP BY key_id"
        return dict(self._connection.execute(counts).fetchall())

    def webhook_secrets(self) -> dict[int, bytes]:
        """The sealed secrets of webhooks by their ids; none before the migration that made them."""
        if not self._value("SELECT to_regclass('webhook_endpoints') IS NOT NULL"):
            return {}
        secrets = "SELECT endpoint_id, secret FROM webhook_endpoints ORDER BY endpoint_id"
        return dict(self._connection.execute(secrets).fetchall())

    def schema_faults(self, tables: Sequence[str], indexes: Sequence[str]) -> list[schema.SchemaFault]:
        """See :func:`marketplace_api.diagnostics.schema.schema_faults`."""
        return schema.schema_faults(self._connection, tables, indexes)

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

    def _all(self, kind: type[Row], statement: str) -> list[Row]:
        with self._connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(statement.encode()).fetchall()

    def _value(self, statement: str) -> Any:
        row = self._connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def installation_id(database: str, secret: str) -> str:
    """Names an installation, by its database (:data:`SYSTEM_IDENTIFIER`) and its secret, and tells nothing of either."""
    return hmac.new(secret.encode(), f"installation:{database}".encode(), hashlib.sha256).hexdigest()[:16]


@contextmanager
def inspect(url: str) -> Iterator[DatabaseInspector]:
    """An inspector of the database at ``url``, read-only and impatient.

    Errors of the driver, also those inside of the ``with`` block, are raised as
    :class:`~marketplace_api.diagnostics.errors.InspectionError`.
    """
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "app.roles": SYSTEM,
    }
    with (
        translated(),
        psycopg.connect(
            libpq_url(url),
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="marketplace doctor",
            client_encoding="utf8",
        ) as connection,
    ):
        set_up(connection, settings)
        yield DatabaseInspector(connection)
