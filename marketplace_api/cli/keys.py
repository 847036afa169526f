"""`marketplace-admin keys`: the keys that sign access tokens, those that seal documents, and that of web push."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.exit_codes import PARTLY_DONE


@click.group()
def keys() -> None:
    """The keys that sign access tokens, those that seal documents, and that of web push.

    To replace a key: make another (`generate`, `generate-document-key`), put it before the present one in JWT_KEYS or
    DOCUMENT_KEYS (new:…,old:…) and restart all processes. From then on the new one is used, and the old one still
    understood. Access tokens die within the hour; documents are brought under the new key by `rotate-documents`. When
    `list` shows that an old key is needed no more, drop it from the setting and restart once more.
    """


@keys.command("list")
@pass_context
def list_keys(context: Context) -> None:
    """Show the ids of all keys, what each is for, and how many documents it seals; never the keys themselves.

    A key that is `missing` seals documents and is in no setting: without it nobody can open them.

    Example: `marketplace-admin keys list`
    """
    from marketplace_api.domain.kernel.tokens import KEY_FILE, SigningKeys
    from marketplace_api.domain.trust.verifications import documents
    from marketplace_api.gateways.document_cipher import DocumentKeys

    settings = context.settings
    kids: tuple[str, ...] = ()
    # The servers make the key of development; to look for it makes none.
    if settings.jwt_keys:
        kids = SigningKeys.from_setting(settings.jwt_keys).kids
    elif (settings.data_dir / "keys" / KEY_FILE).exists():
        kids = SigningKeys.load_or_create(settings.data_dir / "keys").kids
    ids = DocumentKeys.from_settings(settings).ids
    with context.databases() as databases, databases.session() as session:
        counts = documents.count_by_key(session)
    rows = [_key("JWT_KEYS", kid, "verifies" if number else "signs", None) for number, kid in enumerate(kids)]
    rows += [
        _key("DOCUMENT_KEYS", key_id, "opens" if number else "seals", counts.pop(key_id, 0))
        for number, key_id in enumerate(ids)
    ]
    rows += [_key("DOCUMENT_KEYS", key_id, "missing", count) for key_id, count in sorted(counts.items())]
    context.output.rows(("setting", "key_id", "use", "documents"), rows)


def _key(setting: str, key_id: str, use: str, documents: int | None) -> dict[str, str | int | None]:
    return {"setting": setting, "key_id": key_id, "use": use, "documents": documents}


@keys.command()
@pass_context
def generate(context: Context) -> None:
    """Print a new key for JWT_KEYS. Nothing is stored.

    To rotate, put it before the present one (new:…,old:…), and drop the old one an hour later.

    Example: `export JWT_KEYS=$(marketplace-admin keys generate)`
    """
    from marketplace_api.domain.kernel.tokens import generate_seed

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


@keys.command("generate-push-key")
@pass_context
def generate_push_key(context: Context) -> None:
    """Print a new key for PUSH_VAPID_KEY. Nothing is stored.

    Browsers subscribe with its public half, so another key silences all of them until they subscribe anew: make it
    once, and keep it.

    Example: `export PUSH_VAPID_KEY=$(marketplace-admin keys generate-push-key)`
    """
    from marketplace_api.gateways.webpush import VapidKey
    from marketplace_api.gateways.webpush import generate_key as generate_push

    key = generate_push()
    context.output.record({"push_vapid_key": key, "public_key": VapidKey.from_setting(key).public}, key)


@keys.command("rotate-documents")
@pass_context
def rotate_documents(context: Context) -> None:
    """Wrap the keys of all documents under the first of DOCUMENT_KEYS. The service goes on meanwhile.

    Exits with 5 while any is left under another key, which must not be dropped then.

    Example: `marketplace-admin --ini production.ini keys rotate-documents`
    """
    from marketplace_api.domain.trust.verifications import documents
    from marketplace_api.gateways.document_cipher import DocumentKeys

    document_keys = DocumentKeys.from_settings(context.settings)
    with context.databases() as databases:
        done = documents.rotate(databases, document_keys)
    values = {"key_id": document_keys.current, "rewrapped": done.rewrapped, "left": done.left}
    context.output.record(values, f"{done.rewrapped} wrapped under {document_keys.current}, {done.left} left.")
    if done.left:
        raise SystemExit(PARTLY_DONE)
