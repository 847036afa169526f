"""From settings to a database that answers: shared by the servers, the worker and the command line.

Whatever stands in the way becomes a :class:`BootError`: one sentence that says what to do, without a traceback and
without a password.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
import structlog

from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from marketplace_api.database.engines import Databases, driver_url, libpq_url, make_databases
from marketplace_api.database.poolers import Pooler, find_pooler
from marketplace_api.database.row_security import APP_ROLE, RoleFacts, role_findings
from marketplace_api.database.session_settings import session_faults
from marketplace_api.errors import DomainError

OLDEST_VERSION = 15
OWNER = "DATABASE_OWNER_URL"
EXTENSIONS = ("pg_trgm", "unaccent", "cube", "btree_gin", "btree_gist")
# Any number, the same in every process: who holds it is migrating or loading the demo data.
PREPARATION_LOCK = 7_405_001

log = structlog.get_logger(__name__)

# What PostgreSQL or its client library says while connecting, and what to do about it. Connecting gives no SQLSTATE.
_REMEDIES = (
    ("password authentication failed", "refused the password: check user and password in DATABASE_URL"),
    ("no password supplied", "asks for a password: add it to DATABASE_URL (postgresql://user:password@host/name)"),
    ("statement pooling", "is behind a pooler of statements, which no transaction passes: have it pool transactions"),
    ("startup parameter", "is behind a pooler that refuses an option of DATABASE_URL: leave the option out"),
    ("role ", "does not know the user of DATABASE_URL: create the role, or use another one"),
    ("permission denied for database", "does not let this user in: GRANT CONNECT on the database"),
    ("database ", "has no database of that name: create it, or mend the name in DATABASE_URL"),
    ("no pg_hba.conf entry", "does not accept this user from this machine: add a line to its pg_hba.conf"),
    ("connection refused", "is not running there: start it, or mend host and port in DATABASE_URL"),
    ("unreachable", "cannot be reached: check host and network of DATABASE_URL"),
    ("timeout", "does not answer: check host, port and firewall of DATABASE_URL"),
    ("resolve", "cannot be found: mend the host name in DATABASE_URL"),
    ("translate host name", "cannot be found: mend the host name in DATABASE_URL"),
    ("starting up", "is still starting: try again in a moment"),
    ("too many", "has no connection left: raise max_connections or lower sqlalchemy.pool_size"),
    ("support ssl", "and this client do not agree on encryption: check sslmode in DATABASE_URL"),
)


class BootError(RuntimeError):
    """The service cannot start; the message is one sentence that says what to do."""


def open_databases(
    settings: Settings, on_event: Callable[[Any, Any], None] | None = None, *, system: bool = False
) -> tuple[Databases, EmbeddedPostgres | None]:
    """Engines for the settings, tried out, and the embedded server if the settings ask for it.

    ``system`` is for processes that work for everybody. The caller stops that server (after disposing of the engines); one that another process runs is only used.
    Raises :class:`BootError`.
    """
    server, url, owner_url = None, settings.database_url, settings.database_owner_url
    if settings.database_url == "embedded":
        server, url, owner_url = _embedded(settings)
    try:
        has_role, pooler = _try_out_all(settings, url)
        databases = make_databases(
            url,
            settings.database_read_url,
            pool_size=settings.database_pool_size,
            timeout=settings.database_timeout,
            on_event=on_event,
            owner_url=owner_url,
            system=system,
            direct_url=settings.database_direct_url,
            pooler=pooler,
        )
        if has_role:  # else nothing has been migrated yet, and nothing can be served
            _require_walls(databases)
    except BaseException:
        if server is not None:
            server.stop()
        raise
    return databases, server


@contextmanager
def opened(
    settings: Settings, on_event: Callable[[Any, Any], None] | None = None, *, system: bool = True
) -> Iterator[Databases]:
    """:func:`open_databases` for the time of a ``with`` block, unless told otherwise for a process that works for
    everybody."""
    databases, server = open_databases(settings, on_event, system=system)
    try:
        yield databases
    finally:
        databases.dispose()
        if server is not None:
            server.stop()


def find_database(settings: Settings) -> str | None:
    """The URL of the primary as it stands, past any pooler; ``None`` where it is the embedded server and that does not
    run: nothing is started."""
    if settings.database_url != "embedded":
        return settings.database_direct_url or settings.database_url
    return EmbeddedPostgres(settings.data_dir / "postgres").find_running()


def has_cluster(settings: Settings) -> bool:
    """Whether there is a database to open: true for every server that the settings name by its URL."""
    return settings.database_url != "embedded" or EmbeddedPostgres(settings.data_dir / "postgres").is_made


def make_data_folder(settings: Settings) -> None:
    """The folder of the local gateways; raises :class:`BootError` where it cannot be made."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BootError(
            f"The data folder {settings.data_dir} cannot be made ({error.strerror}): make it and give this user the "
            "right to write there, or set DATA_DIR."
        ) from None


def development_ready(
    databases: Databases, settings: Settings, load_demo: Callable[[Databases, Settings], None]
) -> None:
    """Bring the database to this code's schema and load the demo data, each once; several processes may call it.

    ``load_demo`` is passed in, because the demo data is the domain's, which stands above this. Raises :class:`BootError`.
    """
    url = connection_url(databases)
    with preparation_lock(url):
        if not schema_is_current(url):
            upgrade(url)
        try:
            with _for_everybody(databases) as ours:
                load_demo(ours, settings)
        except DomainError as error:
            raise BootError(str(error)) from None


@contextmanager
def _for_everybody(databases: Databases) -> Iterator[Databases]:
    """The same database, seen in full."""
    ours = make_databases(
        libpq_url(databases.write.url),
        pool_size=2,
        on_event=databases.on_event,
        owner_url=databases.owner_url,
        system=True,
        direct_url=libpq_url(databases.direct.url),
        pooler=databases.pooler,
    )
    try:
        yield ours
    finally:
        ours.dispose()


def upgrade(
    url: str, revision: str = "head", *, attempts: int = migrations.ATTEMPTS, tell: Callable[[str], None] | None = None
) -> None:
    """:func:`migrations.upgrade` of the database at ``url``.

    Raises :class:`BootError` where its user may not, and where others kept it from its locks in every attempt.
    """
    check_extensions(url)
    check_role(url)
    try:
        migrations.upgrade(url, revision, attempts=attempts, tell=tell)
    except Exception as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise BootError(
                f"The migrations need more rights ({_last_line(cause)}): make the user of DATABASE_URL the owner of "
                "the database, or run `marketplace-admin db upgrade` as its owner."
            ) from None
        if isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
            raise BootError(
                "Other transactions kept the migration from its locks in every attempt, so nothing was changed since "
                f"{current_revision(url) or 'the beginning'}: see in pg_stat_activity which one stays open, and run it again."
            ) from None
        raise


def schema_is_current(url: str) -> bool:
    """Whether the database at ``url`` was migrated to the newest revision."""
    return current_revision(url) == migrations.head()


def current_revision(url: str) -> str | None:
    """The revision of the database at ``url``; ``None`` when it was never migrated."""
    with _connect(url) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def check_extensions(url: str) -> None:
    """Raise :class:`BootError` where the server lacks an extension that the schema needs."""
    with _connect(url) as connection:
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    missing = sorted(set(EXTENSIONS) - {name for (name,) in rows})
    if missing:
        raise BootError(
            f"PostgreSQL lacks the extension{'s' * (len(missing) > 1)} {', '.join(missing)}: install "
            "the package with its contributed modules (postgresql-contrib) on the database server."
        )


def check_role(url: str) -> None:
    """Raise :class:`BootError` where the application's role is missing and the owner at ``url`` may not make it."""
    with _connect(url) as connection:
        ((stands, name),) = connection.execute(
            "SELECT rolsuper OR rolcreaterole OR EXISTS (SELECT FROM pg_roles WHERE rolname = %s), rolname "
            "FROM pg_roles WHERE rolname = current_user",
            [APP_ROLE],
        ).fetchall()
    if not stands:
        raise BootError(
            f"The migrations may not make the application's role: have an administrator of the server run "
            f'`CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO "{name}"`, then try again.'
        )


def login_facts(settings: Settings) -> RoleFacts | None:
    """As whom the application talks to its database; ``None`` where that is the embedded server and does not run.

    Raises :class:`BootError`.
    """
    url: str | None = settings.database_url
    if url == "embedded":
        server = EmbeddedPostgres(settings.data_dir / "postgres")
        url = server.service_url() if server.find_running() else None
    if url is None:
        return None
    try:
        with _connect(url) as connection:
            return role_findings(connection)
    except psycopg.Error as error:
        raise BootError(f"PostgreSQL {_remedy(error, 'DATABASE_URL')}.") from None


def place_of(url: str) -> tuple[Pooler, str]:
    """The pooler that ``url`` leads through, and what no other database has in common with the one behind it.

    Raises :class:`BootError`.
    """
    try:
        with _connect(url) as connection:
            ((place,),) = connection.execute(
                "SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()"
            ).fetchall()
            return find_pooler(connection, libpq_url(url)), place
    except psycopg.Error as error:
        raise BootError(f"PostgreSQL {_remedy(error, 'DATABASE_URL')}.") from None


@contextmanager
def preparation_lock(url: str) -> Iterator[None]:
    """Held by whoever changes the schema or loads data; the others wait."""
    with _connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [PREPARATION_LOCK])
        yield


def connection_url(databases: Databases) -> str:
    """The owner's URL of the primary, password included: for migrations, and programs that connect by themselves."""
    return libpq_url(databases.owner_url)


def _embedded(settings: Settings) -> tuple[EmbeddedPostgres, str, str]:
    """The server, and its database by the URLs of the application and of the owner."""
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    try:
        server.start()
        owner_url = server.ensure_database("marketplace")
        return server, server.ensure_service(APP_ROLE), owner_url
    except EmbeddedPostgresError as error:
        raise BootError(str(error)) from None
    except psycopg.Error as error:
        server.stop()
        raise BootError(
            f"The embedded PostgreSQL under {settings.data_dir} does not work ({_last_line(error)}): "
            "look into its log there."
        ) from None


def _try_out_all(settings: Settings, url: str) -> tuple[bool, Pooler]:
    """Whether the application's role is there, and how connections are to be kept; ``url`` is that of the primary."""
    has_role, seen = _try_out(url, "DATABASE_URL")
    if settings.database_read_url:
        seen = max(seen, _try_out(settings.database_read_url, "DATABASE_READ_URL")[1])
    for other, name in ((settings.database_direct_url, "DATABASE_DIRECT_URL"), (settings.database_owner_url, OWNER)):
        if other and _try_out(other, name, is_ours=name != OWNER)[1] is Pooler.TRANSACTION:
            raise BootError(
                f"{name} leads through a pooler of transactions, and is for what needs a session: name PostgreSQL itself."
            )
    declared = settings.database_pooler
    if declared != "auto" and seen > Pooler(declared):
        raise BootError(
            f"DATABASE_POOLER says {declared}, but a pooler of {seen}s is there: set it to {seen}, or to auto, or have "
            "DATABASE_URL and DATABASE_READ_URL lead past it."
        )
    if Pooler.TRANSACTION in (seen, declared) and not settings.database_direct_url:
        raise BootError(
            "DATABASE_URL leads through a pooler of transactions: set DATABASE_DIRECT_URL to the same database past it, "
            "for what needs a session (LISTEN, locks, the queue, migrations), or have the pooler pool sessions."
        )
    if declared != "auto":
        return has_role, Pooler(declared)
    # What is set in each transaction holds in both kinds, and still does when somebody changes one into the other.
    return has_role, Pooler.NONE if seen is Pooler.NONE else Pooler.TRANSACTION


def _require_walls(databases: Databases) -> None:
    """Raise :class:`BootError` unless statements are bound as they are to be, asked in the very way of requests."""
    ways = {"DATABASE_URL": databases.write, "DATABASE_READ_URL": databases.read}
    if databases.direct is not databases.write:
        ways["DATABASE_DIRECT_URL"] = databases.direct
    for name, engine in ways.items():
        try:
            with engine.connect() as connection:
                for _ in range(2):  # for a pooler each is another transaction
                    faults = session_faults(connection, databases.settings)
                    connection.rollback()
        except sa.exc.DBAPIError as error:
            faults = [_last_line(error.orig or error)]
        if databases.pooler is not Pooler.NONE:
            engine.dispose()  # the next way may need the server that the pooler keeps for this one
        if faults:
            databases.dispose()
            raise BootError(
                f"{name} gives connections that are not what was asked, so row level security or timeouts would not hold "
                f"({'; '.join(faults)}): see the chapter on poolers in docs/operations.md, or name PostgreSQL itself."
            )


def _try_out(url: str, name: str, *, is_ours: bool = True) -> tuple[bool, Pooler]:
    """Whether the application's role is there, and the pooler that ``url`` leads through.

    Raises :class:`BootError` unless it leads to a database that we can use; ``is_ours`` as the application."""
    try:
        address = driver_url(url).set(drivername="postgresql")
    except Exception:
        # SQLAlchemy's message would repeat the URL with its password.
        raise BootError(
            f"{name} is not a PostgreSQL URL: it must look like postgresql://user:password@host:5432/database."
        ) from None
    place = f"{address.host or 'this machine'}:{address.port or 5432}/{address.database or ''}"
    try:
        with _connect(address.render_as_string(hide_password=False)) as connection:
            version = connection.info.server_version // 10_000
            facts = role_findings(connection)
            pooler = find_pooler(connection, libpq_url(url))
    except psycopg.Error as error:
        raise BootError(f"PostgreSQL at {place} {_remedy(error, name)}.") from None
    if version < OLDEST_VERSION:
        raise BootError(
            f"PostgreSQL at {place} is version {version}, and {OLDEST_VERSION} or newer is needed: upgrade it."
        )
    if is_ours and facts.has_app_role and not facts.may_become:
        raise BootError(
            f"PostgreSQL at {place} does not let the user of {name} act as the application: have the owner run "
            f'`GRANT {APP_ROLE} TO "{facts.login}"`.'
        )
    return facts.has_app_role, pooler


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    # Nothing is prepared, for it may go through a pooler.
    return psycopg.connect(
        libpq_url(url), autocommit=True, connect_timeout=5, application_name="marketplace boot", prepare_threshold=None
    )


def _remedy(error: psycopg.Error, name: str) -> str:
    told = str(error).lower()
    for sign, remedy in _REMEDIES:
        if sign in told:
            return remedy.replace("DATABASE_URL", name)
    return f"cannot be used ({_last_line(error)}): check {name}"


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
