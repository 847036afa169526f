"""What may come in about web push: a browser's subscription, as ``PushSubscription.toJSON()`` gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from colander import SchemaNode, drop

from marketplace_api.gateways.webpush import browser_key, browser_secret
from marketplace_api.models.outbound.push_subscriptions import LONGEST_ENDPOINT
from marketplace_api.schemas.base import Body, ObjectType, PageQuery
from marketplace_api.schemas.types import Integer, InvalidField, Nullable, Text

_LATEST = 10**15  # milliseconds; far beyond any time that there is


class Endpoint(Text):
    """The address of one browser at its push service."""

    def __init__(self) -> None:
        hint = "Send the endpoint of a PushSubscription; it starts with https://."
        super().__init__(LONGEST_ENDPOINT, 12, pattern=r"https:\/\/[!-.0-~]+(\/[!-~]*)?", hint=hint)


class _Key(Text):
    """Bytes in base64url, ``length`` characters with or without ``padding``, as ``read`` takes them."""

    def __init__(self, length: int, padding: str, read: Callable[[str], bytes], hint: str) -> None:
        pattern = rf"[A-Za-z0-9_\-]{{{length}}}({padding})?"
        super().__init__(length + len(padding), length, pattern=pattern, hint=hint)
        self.read = read

    def check(self, node: SchemaNode, value: Any) -> bytes:  # type: ignore[override]
        try:
            return self.read(super().check(node, value))
        except ValueError:
            raise InvalidField(node, "not_a_key", self.hint) from None


class Keys(SchemaNode):
    """The keys of a browser (RFC 8291)."""

    schema_type = ObjectType
    p256dh = SchemaNode(
        _Key(87, "=", browser_key, "Send the browser's public key: 65 bytes in base64url, a point of P-256."),
        title="Public key",
    )
    auth = SchemaNode(
        _Key(22, "==", browser_secret, "Send the browser's secret: 16 bytes in base64url."), title="Secret"
    )


class Subscribe(Body):
    """A browser that takes notifications."""

    endpoint = SchemaNode(Endpoint(), title="Endpoint")
    expirationTime = SchemaNode(  # noqa: N815 - the name that browsers give it
        Nullable(Integer(0, _LATEST)), missing=drop, title="Expiration time", description="Not heeded."
    )
    keys = Keys(title="Keys")


class ListSubscriptions(PageQuery):
    """Which part of the list."""
