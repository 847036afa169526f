"""`marketplace-admin version`."""

from __future__ import annotations

import platform

import rich_click as click

from marketplace_api.cli.context import Context, pass_context


@click.command()
@pass_context
def version(context: Context) -> None:
    """Print the version of the service and of Python.

    Example: `marketplace-admin --json version`
    """
    from marketplace_api.version import VERSION

    context.output.record(
        {"version": VERSION, "python": platform.python_version()},
        f"marketplace-api {VERSION}, Python {platform.python_version()}",
    )
