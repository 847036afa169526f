"""`marketplace-admin db`: migrations, demo data, a prompt; backups are in ``backup.py``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.db import backup


@click.group()
def db() -> None:
    """The database."""


for command in (backup.backup, backup.restore, backup.verify, backup.check):
    db.add_command(command)


@db.command()
@click.option("--to", "revision", default="head", show_default=True, help="The revision to stop at.")
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How often to try where others hold a lock; each waits five seconds for it.",
)
@pass_context
def upgrade(context: Context, revision: str, attempts: int) -> None:
    """Migrate to the schema that this code expects. Safe to run from several machines at once.

    After a deadlock, or where a lock does not come free, it tries again by itself.

    Example: `marketplace-admin --ini production.ini db upgrade`
    """
    from alembic.util.exc import CommandError

    from marketplace_api import boot

    with context.databases(may_make=True) as databases:
        url = boot.connection_url(databases)
        with boot.preparation_lock(url), context.output.working("Migrating …"):
            before = boot.current_revision(url)
            try:
                boot.upgrade(url, revision, attempts=attempts, tell=context.output.remark)
            except CommandError as error:
                raise click.ClickException(str(error)) from None
            after = boot.current_revision(url)
    changed = "already there" if before == after else f"from {before or 'nothing'}"
    context.output.record({"before": before, "after": after}, f"The database is at {after} ({changed}).")


@db.command()
@click.argument("revision", help="The revision to go back to, such as 0001, or `base`.")
@pass_context
def downgrade(context: Context, revision: str) -> None:
    """Migrate back to REVISION; `base` removes every table.

    Example: `marketplace-admin --yes db downgrade 0001`
    """
    from alembic.util.exc import CommandError

    from marketplace_api import boot
    from marketplace_api.database import migrations

    with context.databases() as databases:
        url = boot.connection_url(databases)
        before = boot.current_revision(url)
        context.output.confirm(
            f"Migrate {_place(url)} from {before} back to {revision}? Data in dropped columns is lost."
        )
        try:
            with boot.preparation_lock(url):
                migrations.downgrade(url, revision)
        except CommandError as error:
            raise click.ClickException(str(error)) from None
        after = boot.current_revision(url)
    context.output.record({"before": before, "after": after}, f"The database is at {after or 'nothing'}.")


@db.command()
@pass_context
def current(context: Context) -> None:
    """Print the revision of the database and the newest one; exit code 1 if they differ.

    Example: `marketplace-admin --json db current`
    """
    from marketplace_api import boot
    from marketplace_api.database import migrations

    with context.databases() as databases:
        revision = boot.current_revision(boot.connection_url(databases))
    newest = migrations.head()
    remark = "" if revision == newest else f"; the newest is {newest}: run `marketplace-admin db upgrade`"
    context.output.record({"current": revision, "head": newest}, f"{revision or 'never migrated'}{remark}")
    if revision != newest:
        raise SystemExit(1)


@db.command()
@pass_context
def seed(context: Context) -> None:
    """Load the demo data, unless it is there already; what was cut off goes on.

    Example: `marketplace-admin db seed`
    """
    from marketplace_api import boot

    with (
        context.databases(may_make=True) as databases,
        context.preparing("Loading the demo data …") as load_demo,
        boot.preparation_lock(boot.connection_url(databases)),
    ):
        load_demo(databases, context.settings)
    context.output.record({"seeded": True}, "The demo data is there.")


@db.command()
@pass_context
def reset(context: Context) -> None:
    """Empty the database and its files, migrate it and load the demo data again; in development only.

    Example: `marketplace-admin --yes db reset`
    """
    from marketplace_api import boot
    from marketplace_api.database import migrations
    from marketplace_api.domain.media.files import sweep
    from marketplace_api.gateways.storage import make_storage

    if context.settings.production:
        raise click.ClickException("`db reset` works in development only: it deletes everything.")
    with context.databases(may_make=True) as databases:
        url = boot.connection_url(databases)
        context.output.confirm(f"Delete everything in {_place(url)}?")
        with context.preparing("Making the database anew …") as load_demo:
            with boot.preparation_lock(url):
                with databases.owner_session() as session:
                    sweep.discard_all(session, make_storage(context.settings))
                migrations.downgrade(url, "base")
            boot.development_ready(databases, context.settings, load_demo)
    context.output.record({"reset": True}, "The database is new, with the demo data.")


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, help="Behind `--`: what psql is given.")
@pass_context
def psql(context: Context, arguments: tuple[str, ...]) -> None:
    """Open PostgreSQL's own prompt on the database; what follows goes to psql.

    Example: `marketplace-admin db psql -- -c "select count(*) from listings"`
    """
    from marketplace_api import boot
    from marketplace_api.database.engines import driver_url

    context.require_cluster()
    databases, server = boot.open_databases(context.settings)
    # Ctrl-C belongs to psql, where it cancels a statement.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        program = _psql(server.bin_dir if server is not None else None)
        address = driver_url(boot.connection_url(databases)).set(drivername="postgresql")
        # The password by environment, because others can read a command line.
        command = [program, "-d", address._replace(password=None).render_as_string(), *arguments]
        environment = {**os.environ, "PGPASSWORD": str(address.password or "")}
        code = subprocess.run(command, env=environment, check=False, preexec_fn=_default_interrupt).returncode  # noqa: S603
    finally:
        signal.signal(signal.SIGINT, interrupt)
        databases.dispose()
        if server is not None:
            server.stop()
    raise SystemExit(code)


def _psql(shipped: Path | None) -> str:
    if shipped is not None and (shipped / "psql").is_file():
        return str(shipped / "psql")
    found = shutil.which("psql")
    if found is None:
        raise click.ClickException("There is no psql on this machine: install PostgreSQL's client (postgresql-client).")
    return found


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _place(url: str) -> str:
    """``host:port/name``, without the password."""
    return url.rpartition("@")[2]
