"""`marketplace-admin errors`: the codes of errors."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.context import Context, pass_context

COLUMNS = ("code", "status", "title", "advice")


@click.command()
@click.argument("text", default="", help="Only codes with this in them, or of this status.")
@pass_context
def errors(context: Context, text: str) -> None:
    """Print what the `code` of an error can be: its HTTP status, what it means, and what helps.

    Example: `marketplace-admin errors 409`
    """
    from marketplace_api.hal.problems import CODES

    rows = [
        {"code": found.code, "status": found.status, "title": found.title, "advice": found.advice}
        for found in CODES.values()
        if text in found.code or text == str(found.status)
    ]
    context.output.rows(COLUMNS, rows)
