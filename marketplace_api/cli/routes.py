"""`marketplace-admin routes`: every operation of the API."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.context import Context, pass_context

COLUMNS = ("method", "path", "permission", "summary")


@click.command()
@click.argument("text", default="", help="Only what has this in its method, path, permission or summary.")
@pass_context
def routes(context: Context, text: str) -> None:
    """Print every operation: method, path, the permission that it asks for, and what it does.

    Example: `marketplace-admin routes listing:edit`
    """
    from marketplace_api import app  # noqa: F401  all operations are declared once it is loaded
    from marketplace_api.hal import affordances

    rows = [
        {"method": found.method, "path": found.path, "permission": found.permission.value, "summary": found.title}
        for found in sorted(affordances.ALL, key=lambda found: (found.path, found.method))
    ]
    wanted = text.casefold()
    context.output.rows(COLUMNS, [row for row in rows if any(wanted in value.casefold() for value in row.values())])
