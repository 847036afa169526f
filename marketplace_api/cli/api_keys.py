"""`marketplace-admin api-keys`: keys with which programs call the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import UNTIL, AsInApi

if TYPE_CHECKING:
    from marketplace_api.schemas.types import Text

SCOPES = ("events:read",)
COLUMNS = ("api_key_id", "name", "scopes", "created_by", "date_created", "last_used", "expires_at", "revoked_at")


def _name() -> Text:
    from marketplace_api.schemas.identity.api_keys import NAME

    return NAME


@click.group("api-keys")
def api_keys() -> None:
    """Keys with which programs call the API: what is in their scopes, and nothing else."""


@api_keys.command()
@click.argument("name", type=AsInApi(_name), help="What it is for.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--until", type=UNTIL, help="Until then: a span of time such as 90d, or a date; else for ever.")
@pass_context
def create(context: Context, name: str, scopes: tuple[str, ...], until: datetime | None) -> None:
    """Make a key and print it. It is kept as a hash: nobody can print it again.

    Example: `marketplace-admin api-keys create warehouse --scope events:read --until 90d`
    """
    from marketplace_api.domain.identity import api_keys as domain

    with context.acting() as (session, actor):
        row, token = domain.issue(session, actor, name=name, scopes=set(scopes), expires_at=until)
    context.output.record({**_shown(row), "key": token}, token)


@api_keys.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Keys at most.")
@pass_context
def list_api_keys(context: Context, limit: int) -> None:
    """Show the keys, the newest first; never the keys themselves.

    Example: `marketplace-admin api-keys list`
    """
    from marketplace_api.domain.identity import api_keys as domain
    from marketplace_api.domain.kernel.paging import PageRequest

    with context.databases() as databases, databases.session() as session:
        rows = [_shown(row) for row in domain.list_page(session, PageRequest(limit=limit)).items]
    context.output.rows(COLUMNS, rows)


@api_keys.command()
@click.argument("api_key_id", metavar="ID", type=click.IntRange(1, 2**63 - 1), help="The key's id, as `list` shows it.")
@pass_context
def revoke(context: Context, api_key_id: int) -> None:
    """End a key at once.

    Example: `marketplace-admin api-keys revoke 3`
    """
    from marketplace_api.domain.identity import api_keys as domain

    with context.acting() as (session, actor):
        row = domain.revoke(session, actor, api_key_id)
    context.output.record(_shown(row), f"Revoked {row.name}.")


def _shown(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}
