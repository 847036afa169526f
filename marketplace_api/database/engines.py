"""Engines, sessions and readers: how a process talks to the database.

Which connection serves a request is decided here too: safe requests read through AUTOCOMMIT connections that
never open a transaction; all others get a session of the unit of work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import per_transaction, row_security
from marketplace_api.database.poolers import Pooler
from marketplace_api.database.session_settings import application_settings, set_up

RELEASE_EVERY = 60.0
"""Seconds after which idle readers go through the engine's pool once, which replaces those that are too old."""


class WatchedPool(sa.QueuePool):
    """A pool that knows how many ask for a connection at this moment and have none yet."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asking_lock = threading.Lock()
        self.waiting = 0

    def _do_get(self) -> Any:
        with self._asking_lock:
            self.waiting += 1
        try:
            return super()._do_get()
        finally:
            with self._asking_lock:
                self.waiting -= 1


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """Connections of one pool of this process: at work, asked for in vain so far, and how many there may be."""

    in_use: int
    waiting: int
    limit: int


class Readers:
    """AUTOCOMMIT connections that stay taken from their engine's pool while no request reads through them.

    To take one from that pool and to give it back is 12 % of a cheap request; from here it is next to nothing. The
    pool still sets the limits: how many there are, how long one waits, when one is too old. Those that carry a caller
    lie apart from those that carry nobody, so that it is rare that one has to forget.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._idle: dict[bool, deque[sa.Connection]] = {True: deque(), False: deque()}
        self._lock = threading.Lock()
        self._waiting = 0
        self._release_at = time.monotonic() + RELEASE_EVERY

    def take(self, *, known: bool = False) -> sa.Connection:
        """The one that rested the shortest, of those that carry a caller if the next is ``known`` as well; raises what
        the engine's pool raises."""
        try:
            return self._idle[known].pop()
        except IndexError:
            if not known and self._has_room():
                return self._engine.connect()
        try:
            return self._idle[not known].pop()
        except IndexError:
            return self._from_pool()

    def _has_room(self) -> bool:
        pool = self._engine.pool
        return isinstance(pool, sa.QueuePool) and pool.checkedout() < pool.size()

    @property
    def idle(self) -> int:
        """How many are taken from the pool and do nothing."""
        return sum(map(len, self._idle.values()))

    def give_back(self, connection: sa.Connection) -> None:
        if connection.invalidated:
            # The idle were lost with it, most likely: none shall cost a request of its own.
            self.release(dead=True)
            connection.close()
            return
        if connection.in_transaction():
            connection.rollback()
        self._idle[row_security.carries_caller(connection)].append(connection)
        now = time.monotonic()
        if self._waiting or now >= self._release_at:
            self._release_at = now + RELEASE_EVERY
            self.release()

    def release(self, *, dead: bool = False) -> None:
        """Give all idle ones back to the engine's pool, or close the ``dead`` ones."""
        for idle in self._idle.values():
            while idle:
                try:
                    connection = idle.pop()
                except IndexError:  # another thread was faster
                    break
                if dead:
                    connection.invalidate()
                connection.close()

    def _from_pool(self) -> sa.Connection:
        with self._lock:
            self._waiting += 1
        try:
            # What was given back before it was known that somebody waits lies here; later ones go to the pool.
            for idle in self._idle.values():
                with suppress(IndexError):
                    return idle.pop()
            return self._engine.connect()
        finally:
            with self._lock:
                self._waiting -= 1


class Databases:
    """The engines of one process and the ways to talk through them.

    ``on_event`` is called with the session and each event recorded in it, inside the same transaction; ``jobs``
    puts its own function there. ``owner_url`` is for what the application's role may not do: migrations. ``direct``
    leads past any pooler, for what needs a session of its own; without it ``write`` does. ``settings`` are what each
    connection is to have.
    """

    def __init__(
        self,
        write: sa.Engine,
        read: sa.Engine,
        on_event: Callable[[Session, Any], None] | None = None,
        owner_url: str = "",
        *,
        direct: sa.Engine | None = None,
        pooler: Pooler = Pooler.NONE,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.write = write
        self.read = read
        self.direct = direct if direct is not None else write
        self.pooler = pooler
        self.settings = settings or {}
        self.readers = Readers(read)
        self.on_event = on_event
        self.owner_url = owner_url

    @property
    def has_replica(self) -> bool:
        return self.read.url != self.write.url

    def pools(self) -> dict[str, PoolFacts]:
        """What the pools ``write`` and ``read`` of this process are doing now."""
        found = {}
        for name, engine, idle in (("write", self.write, 0), ("read", self.read, self.readers.idle)):
            pool = engine.pool
            if isinstance(pool, WatchedPool):
                in_use = max(0, pool.checkedout() - idle)
                found[name] = PoolFacts(in_use, pool.waiting, pool.size() + pool._max_overflow)
        return found

    def session(self) -> Session:
        """A new unit of work on the primary; the caller commits or rolls back."""
        return Session(self.write, expire_on_commit=False, info={"on_event": self.on_event})

    @contextmanager
    def owner_session(self) -> Iterator[Session]:
        """A unit of work of the owner's, who is bound by no policy: for what goes before the migrations."""
        engine = sa.create_engine(driver_url(self.owner_url), poolclass=sa.NullPool)
        with Session(engine) as session:
            yield session

    def reader(self, *, known: bool = False) -> sa.Connection:
        """An AUTOCOMMIT connection for reading; the caller gives it back, or closes it.

        It may carry the caller of a request before: who takes it says who calls now, or forgets who called. ``known``
        tells which of the two is likely.
        """
        return self.readers.take(known=known)

    def give_back(self, reader: sa.Connection) -> None:
        self.readers.give_back(reader)

    def primary_reader(self) -> sa.Connection:
        """An AUTOCOMMIT connection to the primary, for what must not lag (sessions, bans)."""
        return self.write.execution_options(isolation_level="AUTOCOMMIT").connect()

    def session_connection(self) -> sa.Connection:
        """An AUTOCOMMIT connection to the primary that keeps its session, for LISTEN and for locks of a session."""
        return self.direct.execution_options(isolation_level="AUTOCOMMIT").connect()

    @contextmanager
    def separately(self, user_id: int | None = None, roles: str | None = None) -> Iterator[Session]:
        """A short transaction of its own, for what must survive the refusal of the request (failed log-ins, theft).

        It is that of the account ``user_id`` with these ``roles``, else nobody's.
        """
        with self.session() as session, session.begin():
            if user_id is not None:
                row_security.act_for(session, user_id, roles)
            yield session

    def dispose(self) -> None:
        self.readers.release()
        for engine in (self.write, self.read, self.direct):
            engine.dispose()


def make_databases(
    url: str,
    read_url: str = "",
    *,
    pool_size: int = 10,
    timeout: int = 15,
    on_event: Callable[[Session, Any], None] | None = None,
    owner_url: str = "",
    system: bool = False,
    direct_url: str = "",
    pooler: Pooler = Pooler.NONE,
) -> Databases:
    """Engines for ``url`` and, where given, a replica; ``timeout`` is the statement timeout in seconds.

    All connections are the application's role, whatever role they log in as. ``system`` sees every row, for a process
    that works for everybody; else a connection sees nobody's before somebody is known. ``pooler`` is what is behind the
    two URLs at most, and never more than sessions behind ``direct_url``, which is ``url`` where there is none.
    """
    settings = application_settings(system=system, timeout=timeout) | {
        # Estimates of parametrised searches are high enough to start the JIT compiler and parallel workers, which cost
        # more than the search itself.
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
    }
    options: dict[str, Any] = {
        "poolclass": WatchedPool,
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": 5,
        "pool_recycle": 1800,
        "hide_parameters": True,  # values may be personal, and errors are logged
        "connect_args": {"connect_timeout": 5, "application_name": "marketplace"},
    }
    write = sa.create_engine(driver_url(url), **options)
    # Nothing is pending on an AUTOCOMMIT connection, so returning it to the pool needs no ROLLBACK.
    read = sa.create_engine(
        driver_url(read_url or url), isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
    )
    direct = None
    for engine in (write, read):
        settle(engine, settings, pooler)
    if direct_url or pooler is Pooler.TRANSACTION:
        # What keeps a session is few: who follows the log, and batches that are carried out.
        direct = sa.create_engine(driver_url(direct_url or url), **(options | {"pool_size": 1}))
        settle(direct, settings, Pooler.SESSION)
    return Databases(
        write, read, on_event, owner_url or direct_url or url, direct=direct, pooler=pooler, settings=settings
    )


def settle(engine: sa.Engine, settings: Mapping[str, str], pooler: Pooler) -> None:
    """Have the engine's connections made with these settings, in the way that lasts behind such a pooler."""

    def connect(_dialect: Any, _record: Any, args: Any, keywords: Any) -> psycopg.Connection[Any]:
        if pooler is Pooler.TRANSACTION:
            return per_transaction.connect(settings, *args, **keywords)
        connection = psycopg.connect(*args, **keywords)
        set_up(connection, settings, pooled=pooler is not Pooler.NONE)
        return connection

    sa.event.listen(engine, "do_connect", connect)


def driver_url(url: str) -> sa.URL:
    """``postgres://`` and ``postgresql://`` as hosting providers write them, for psycopg 3."""
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError("the database URL must start with postgresql://")
    return parsed


def libpq_url(url: str | sa.URL) -> str:
    """The same for programs that connect without SQLAlchemy, password included: libpq takes no bare spaces."""
    parsed = driver_url(url) if isinstance(url, str) else url
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False).replace(" ", "%20")


def now_of(session: Session) -> datetime:
    """The time of the transaction by the database's clock, which all processes share; an aware UTC time."""
    moment: datetime = session.execute(sa.select(sa.func.now())).scalar_one()
    return moment.astimezone(UTC)


def driver_connection(session: Session) -> Any:
    """The psycopg connection that this session's transaction runs on."""
    return session.connection().connection.driver_connection


def is_outage(error: BaseException) -> bool:
    """Whether the database was away, too slow or too busy: a later try may succeed, and nothing was saved."""
    if isinstance(error, sa.exc.TimeoutError):
        return True
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    state = cause.sqlstate or ""
    # Classes 08 connection, 53 resources, 57 operator intervention (shutdown, timeout), 40 serialization, deadlock.
    return state[:2] in ("08", "53", "57", "40") or (isinstance(cause, psycopg.OperationalError) and not state)
