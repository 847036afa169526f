"""`marketplace-admin errors`: the codes of errors, and the exit codes of commands."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.exit_codes import MEANINGS, of_status

COLUMNS = ("code", "status", "exit_code", "title", "advice")


@click.command()
@click.argument("text", default="", help="Only codes with this in them, or of this status.")
@click.option("--exit-codes", is_flag=True, help="Print what commands exit with, and what each means.")
@pass_context
def errors(context: Context, text: str, exit_codes: bool) -> None:
    """Print what the `code` of an error can be: its HTTP status, what a command exits with, what it means, what helps.

    Example: `marketplace-admin errors 409`
    """
    from marketplace_api.hal.problems import CODES

    if exit_codes:
        context.output.rows(
            ("exit_code", "meaning"), [{"exit_code": code, "meaning": meaning} for code, meaning in MEANINGS.items()]
        )
        return
    rows = [
        {
            "code": found.code,
            "status": found.status,
            "exit_code": of_status(found.status),
            "title": found.title,
            "advice": found.advice,
        }
        for found in CODES.values()
        if text in found.code or text == str(found.status)
    ]
    context.output.rows(COLUMNS, rows)
