"""`marketplace-admin openapi`: the description of the API for programs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.files import FILE, is_stdout, written


@click.command()
@click.option(
    "--to", "file", metavar="FILE", type=FILE, help="A new file to write; else, and with `-`, standard output."
)
@pass_context
def openapi(context: Context, file: Path | None) -> None:
    """Print the OpenAPI 3.1 description, as the service itself gives it at `/api/openapi.json`.

    Example: `marketplace-admin openapi --to openapi.json`
    """
    import orjson

    from marketplace_api import app  # noqa: F401  all operations are declared once it is loaded
    from marketplace_api.views.openapi import openapi as describe

    text = orjson.dumps(describe(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    with written(context, file, private=False) as stream:
        stream.write(text)
    if is_stdout(file):
        return
    context.output.record({"file": str(file), "bytes": len(text)}, f"The description is in {file}.")
