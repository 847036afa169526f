"""`marketplace-admin realtime`: the process that pushes what happens to open connections."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.context import Context, pass_context


@click.group()
def realtime() -> None:
    """The realtime process."""


@realtime.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens; else REALTIME_PORT, else 6544.")
@pass_context
def run(context: Context, port: int | None) -> None:
    """Push what happens to clients of socket.io and of server-sent events, until SIGTERM or Ctrl-C.

    Any number of processes may run, each on a port of its own. Clients of one that ends go on with another.

    Example: `marketplace-admin --ini production.ini realtime run --port 6544`
    """
    from marketplace_api import boot
    from marketplace_api.database import migrations
    from marketplace_api.gateways.crash_reports import configure_sentry
    from marketplace_api.jobs.dispatch import dispatch
    from marketplace_api.logs import configure_logging
    from marketplace_api.realtime.server import run as serve
    from marketplace_api.serve import end_with_supervisor, host_of, require_free
    from marketplace_api.version import VERSION

    end_with_supervisor()
    settings = context.settings
    configure_logging(settings.log_level)
    configure_sentry(settings, VERSION)
    host = host_of(context.server_section.get("host", "127.0.0.1"))
    port = port or settings.realtime_port
    require_free(host, port)
    databases, server = boot.open_databases(settings, dispatch)
    try:
        url = boot.connection_url(databases)
        if not migrations.suffices(boot.current_revision(url)):
            raise click.ClickException("The database is not migrated: run `marketplace-admin db upgrade` first.")
        serve(settings, databases, host=host, port=port)
    finally:
        databases.dispose()
        if server is not None:
            server.stop()
