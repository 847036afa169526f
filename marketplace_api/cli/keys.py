"""`marketplace-admin keys`: the keys that sign access tokens, and those that seal documents."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import rich_click as click

from marketplace_api.cli import PARTLY_DONE
from marketplace_api.cli.context import Context, pass_context


@click.group()
def keys() -> None:
    """The keys that sign access tokens, and those that seal documents."""


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


@keys.command("generate-document-key")
@pass_context
def generate_document_key(context: Context) -> None:
    """Print a new key for DOCUMENT_KEYS. Nothing is stored. Who loses it loses the documents.

    To rotate, put it before the present one (new:…,old:…), restart all processes, run `keys rotate-documents`, and
    drop the old one when that leaves none.

    Example: `export DOCUMENT_KEYS=$(marketplace-admin keys generate-document-key)`
    """
    from marketplace_api.gateways.document_cipher import generate_key

    key = f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}:{generate_key()}"
    context.output.record({"document_key": key}, key)


@keys.command("rotate-documents")
@pass_context
def rotate_documents(context: Context) -> None:
    """Wrap the keys of all documents under the first of DOCUMENT_KEYS. The service goes on meanwhile.

    Exits with 5 while any is left under another key, which must not be dropped then.

    Example: `marketplace-admin --ini production.ini keys rotate-documents`
    """
    from marketplace_api.domain.verifications import documents
    from marketplace_api.gateways.document_cipher import DocumentKeys

    document_keys = DocumentKeys.from_settings(context.settings)
    with context.databases() as databases:
        done = documents.rotate(databases, document_keys)
    values = {"key_id": document_keys.current, "rewrapped": done.rewrapped, "left": done.left}
    context.output.record(values, f"{done.rewrapped} wrapped under {document_keys.current}, {done.left} left.")
    if done.left:
        raise SystemExit(PARTLY_DONE)
