"""`marketplace-admin version`."""

from __future__ import annotations

import platform

import rich_click as click

from marketplace_api.cli.context import Context, pass_context


@click.command()
@pass_context
def version(context: Context) -> None:
    """Print the version of the service, of Python, of PostgreSQL's client, and the newest migration.

    Example: `marketplace-admin --json version`
    """
    from marketplace_api.database import migrations
    from marketplace_api.database.client_library import client_versions
    from marketplace_api.version import VERSION

    client = client_versions()
    values = {
        "version": VERSION,
        "python": platform.python_version(),
        "psycopg": client.psycopg,
        "libpq": client.libpq,
        "migration": migrations.head(),
    }
    context.output.record(
        values,
        f"marketplace-api {VERSION}, Python {values['python']}, psycopg {values['psycopg']} with libpq "
        f"{values['libpq']}, newest migration {values['migration']}",
    )
