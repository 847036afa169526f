"""The database, its migrations, connections and tables, and the replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from marketplace_api import boot
from marketplace_api.cli.doctor.checks.content import (
    admins,
    deliveries,
    documents,
    files,
    jobs,
    schedule,
    webhook_secrets,
)
from marketplace_api.cli.doctor.checks.event_log import event_log
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, attempt, explained, ok, problem, warning
from marketplace_api.cli.doctor.checks.pooler import pooler
from marketplace_api.cli.doctor.checks.roles import roles
from marketplace_api.cli.doctor.checks.schema import schema_faults
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.diagnostics.errors import InspectionDenied, InspectionError
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts, inspect
from marketplace_api.serve import cores

MOST_SECONDS_OFF = 5
LEAST_DEAD_ROWS, MOST_DEAD_SHARE, PATIENCE = 10_000, 0.5, timedelta(minutes=10)
MOST_BYTES_BEHIND = 16 * 1024 * 1024
MOST_SECONDS_BEHIND = 60
MOST_TRANSACTIONS = 1_500_000_000  # of the two thousand million that there are
UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal"})
WORKER_THREADS = 14  # four of the default queue, two of each other
WORKER_CONNECTIONS = 6  # of the queue itself


def database(installation: Installation) -> Iterator[Finding]:
    """Everything that PostgreSQL tells about itself; it is not started where it does not run."""
    settings = installation.settings
    try:
        url = boot.find_database(settings)
        if url is None:
            yield warning(
                "database",
                f"the embedded PostgreSQL in {settings.data_dir / 'postgres'} is not running, so database, migrations, "
                "clock and jobs were not looked at",
                "Start it in another terminal: make run, marketplace-admin up or pserve development.ini.",
            )
            return
        # As requests go, which may be through a pooler; all that is looked at afterwards goes past it.
        _try_out(settings, settings.database_url if settings.database_url != "embedded" else url)
        with inspect(url) as inspector:
            facts = inspector.server()
            yield ok("database", f"PostgreSQL {facts.version} at {url.rpartition('@')[2].partition('?')[0]}")
            for check in CHECKS:
                yield from check(installation, url, inspector, facts)
    except boot.BootError as error:
        yield explained("database", error)
    except InspectionDenied as error:
        remedy = "GRANT it to the role of DATABASE_URL, or look with that of the migrations."
        yield problem("database", f"does not let this role look ({error})", remedy)
    except InspectionError as error:
        remedy = "Look again; if it stays so, see the log of PostgreSQL."
        yield problem("database", f"could not be looked at ({error})", remedy)


def _try_out(settings: Settings, url: str) -> None:
    """Raises BootError."""
    with boot.opened(replace(settings, database_url=url, database_read_url=""), system=False):
        pass


def _extensions(
    _installation: Installation, url: str, _inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    missing = [name for name in boot.EXTENSIONS if name not in facts.extensions]
    # Migrations make them; one that is gone later was dropped, together with what was built on it.
    if missing and boot.schema_is_current(url):
        yield problem(
            "extensions",
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in the database any more",
            f"{' '.join(f'CREATE EXTENSION {name};' for name in missing)} Then see what went with "
            f"{'it' if len(missing) == 1 else 'them'}: marketplace-admin db check.",
        )
        return
    yield attempt("extensions", lambda: boot.check_extensions(url), "all there or installable")


def _migrations(
    _installation: Installation, url: str, _inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    revision, newest = boot.current_revision(url), migrations.head()
    if revision == newest:
        yield ok("migrations", f"at {revision}, the newest")
    elif migrations.suffices(revision):
        yield warning(
            "migrations",
            f"at {revision}, which this code does not know: it is older than the database",
            "Install the release that made the migration, or a newer one; do not migrate back under a running service.",
        )
    else:
        yield problem(
            "migrations", f"at {revision or 'nothing'}, but {newest} is expected", "marketplace-admin db upgrade"
        )


def _clock(
    _installation: Installation, _url: str, _inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    seconds = abs((datetime.now(UTC) - facts.now).total_seconds())
    if seconds > MOST_SECONDS_OFF:
        told = f"differs from the database's by {seconds:.0f} s"
        yield problem("clock", told, "Turn time synchronisation (NTP) on, here and on the database's machine.")
    else:
        yield ok("clock", "agrees with the database's")


def _form(
    _installation: Installation, _url: str, _inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    if facts.encoding != "UTF8":
        yield problem(
            "encoding",
            f"the database is made for {facts.encoding}, which cannot hold what people write",
            f"Make a new one and load a dump into it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0; "
            f"pg_dump {facts.database}.",
        )
    else:
        yield ok("encoding", facts.encoding)
    if facts.time_zone not in UTC_NAMES:
        yield warning(
            "time zone",
            f"the database tells times in {facts.time_zone}; the service always asks in UTC, psql and dumps do not",
            f"""ALTER DATABASE "{facts.database}" SET timezone TO 'UTC';""",
        )
    else:
        yield ok("time zone", facts.time_zone)


def _connections(
    installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    """What the processes of this machine may take at most, against what there is."""
    processes, threads = _processes(installation.server)
    most = installation.settings.database_pool_size * 2
    # A request holds one connection to read, and one or two to write.
    needed = processes * (min(most, 2 * threads) + min(most, threads)) + min(most, 2 * WORKER_THREADS)
    needed += WORKER_CONNECTIONS
    there = min(facts.connections, facts.connection_limit if facts.connection_limit is not None else facts.connections)
    told = f"API (processes: {processes}) and a worker may take {needed} of {there}; {inspector.connections_in_use()} are in use"
    if needed > there:
        remedy = (
            f"Raise max_connections (or the limit of database and role) to {needed * 5 // 4 + 3}, lower workers in "
            "[server:main] or DATABASE_POOL_SIZE, or put a pooler in session mode between."
        )
        yield problem("connections", told, remedy)
    else:
        yield ok("connections", told)


def _processes(server: dict[str, str]) -> tuple[int, int]:
    """Processes and threads of each, as the ini's server section asks for them."""
    if "blocking_threads" in server or server.get("use", "").endswith("granian"):
        return int(server.get("workers") or cores()), int(server.get("blocking_threads") or 4)
    return 1, int(server.get("threads") or 4)


def _vacuum(
    _installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    if facts.transactions > min(2 * facts.freeze_after, MOST_TRANSACTIONS):
        yield warning(
            "wraparound",
            f"the oldest transaction that is not frozen is {facts.transactions:,} old; PostgreSQL stops at 2,000,000,000",
            "VACUUM (FREEZE, VERBOSE); and see what keeps autovacuum from it: long transactions, forgotten replication "
            "slots (pg_replication_slots), prepared transactions (pg_prepared_xacts).",
        )
    if not facts.autovacuum:
        yield warning("vacuum", "autovacuum is off", "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();")
        return
    tables = inspector.bloated_tables(LEAST_DEAD_ROWS, MOST_DEAD_SHARE, PATIENCE)
    if tables:
        yield warning(
            "vacuum",
            f"autovacuum does not keep up with {', '.join(tables)}",
            f"VACUUM (ANALYZE) {', '.join(tables)}; and see what holds it up: long transactions in pg_stat_activity, "
            "autovacuum_enabled in the table's options.",
        )
    else:
        yield ok("vacuum", "autovacuum keeps up")


def _replica(
    installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    url = installation.settings.database_read_url
    if not url:
        return
    try:
        _try_out(installation.settings, url)
        with inspect(url) as other:
            found = other.replica(inspector.written())
    except boot.BootError as error:
        yield explained("replica", boot.BootError(str(error).replace("DATABASE_URL", "DATABASE_READ_URL")))
        return
    except InspectionError as error:
        told = f"could not be looked at ({error})"
        yield warning("replica", told, "Check DATABASE_READ_URL and the replica's log.")
        return
    behind = found.bytes_behind > 0 and (found.seconds_behind or 0) > MOST_SECONDS_BEHIND
    if (found.system, found.database) != (inspector.system(), facts.database):
        told = "DATABASE_READ_URL leads to another database than DATABASE_URL"
        yield problem("replica", told, "Name a replica of the primary in DATABASE_READ_URL, or leave it out.")
    elif not found.follows:
        told = "DATABASE_READ_URL leads to the primary itself"
        yield warning("replica", told, "Leave DATABASE_READ_URL out, which saves connections, or name a replica.")
    elif behind or found.bytes_behind > MOST_BYTES_BEHIND:
        told = f"is {found.bytes_behind // 1024:,} KB and {found.seconds_behind or 0:.0f} s behind"
        remedy = (
            "See pg_stat_replication on the primary and the replica's log; until it has caught up, start the API "
            "without DATABASE_READ_URL."
        )
        yield warning("replica", told, remedy)
    else:
        yield ok("replica", f"follows, {found.bytes_behind // 1024} KB behind")


Check = Callable[[Installation, str, DatabaseInspector, ServerFacts], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    _extensions,
    _migrations,
    schema_faults,
    roles,
    _clock,
    _form,
    pooler,
    _connections,
    _vacuum,
    _replica,
    admins,
    jobs,
    schedule,
    deliveries,
    files,
    documents,
    webhook_secrets,
    event_log,
)
"""What is looked at in a database that answers, in the order in which it is told; one more check is one more line."""
