"""`marketplace-admin keys`: the keys that sign access tokens."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import rich_click as click

from marketplace_api.cli.context import Context, pass_context


@click.group()
def keys() -> None:
    """The keys that sign access tokens."""


@keys.command()
@pass_context
def generate(context: Context) -> None:
    """Print a new key for JWT_KEYS. Nothing is stored.

    To rotate, put it before the present one (new:…,old:…), and drop the old one an hour later.

    Example: `export JWT_KEYS=$(marketplace-admin keys generate)`
    """
    from marketplace_api.domain.tokens import generate_seed

    key = f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}:{generate_seed()}"
    context.output.record({"jwt_key": key}, key)
