"""`marketplace-admin openapi`: the description of the API for programs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from marketplace_api.cli.context import Context, pass_context


@click.command()
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write it here instead of printing it."
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
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        file.write_bytes(text)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    context.output.record({"file": str(file), "bytes": len(text)}, f"The description is in {file}.")
