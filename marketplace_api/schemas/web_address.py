"""Addresses of the Web that somebody sends: shown to others as links and pictures, or called by the service itself."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

import colander
import idna

from marketplace_api.characters import visible
from marketplace_api.gateways.ssrf import is_public
from marketplace_api.schemas.types import InvalidField, Text

# Neither a quote nor a bracket, of which one may end an attribute of HTML, a backslash, which browsers take for a slash,
# nor white space. Escaped as browsers want it (ECMAScript with the flag v): they pass over a pattern that they cannot read.
_UNQUOTED = r"""[^\s"'<>\\`]*"""
_LABELS = r"""[^\s"'<>\\`\/?#@:.]+"""
_HOST = rf"{_LABELS}(\.{_LABELS})+\.?"
_ANY_HOST = r"""[^\s"'<>\\`\/?#@:]+"""
_PORT = ":[1-9][0-9]{0,4}"
HIGHEST_PORT = 65535

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_DIGITS = re.compile(r"0x[0-9a-f]*|[0-9]+")
# Names that lead into a house or a company, if anywhere (RFC 6761, 6762, 8375; ICANN's `internal`; what routers use).
_PRIVATE = frozenset({"localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "onion"})
_PRIVATE_ENDS = (".home.arpa",)


class WebAddress(Text):
    """An https URL whose host is one of the public Internet by its name or number; nobody is asked for its addresses.

    One that is ``called`` by the service may also be http, and of any host: settings decide about that, and the one who
    calls (``gateways.ssrf``).
    """

    def __init__(self, maximum: int = 512, *, called: bool = False) -> None:
        begins = rf"https?:\/\/{_ANY_HOST}" if called else rf"https:\/\/{_HOST}"
        super().__init__(
            maximum,
            len("http://a.b" if called else "https://a.b"),
            pattern=rf"{begins}({_PORT})?([\/?#]{_UNQUOTED})?",
            hint="Send an address that starts with https:// and names a host; write quotes and spaces as %22, %27, %20.",
        )
        self.called = called

    def check(self, node: colander.SchemaNode, value: Any) -> str:
        text = super().check(node, value)
        if visible(text) != text:
            raise InvalidField(node, "wrong_format", self.hint)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise InvalidField(node, "wrong_format", self.hint) from None
        if port is not None and port > HIGHEST_PORT:
            raise InvalidField(node, "wrong_format", f"The port must be one from 1 to {HIGHEST_PORT}.")
        if not self.called and not is_public_name(host):
            raise InvalidField(node, "address_refused", "The address must be one of the public Internet.")
        return text

    def json_schema(self) -> dict[str, Any]:
        return {**super().json_schema(), "format": "uri"}


def is_public_name(host: str) -> bool:
    """Whether a host is a domain name below a public ending, or a public IPv4 address in its usual spelling."""
    try:
        name = idna.encode(host, uts46=True).decode() if not host.isascii() else host.lower()
    except idna.IDNAError:
        return False
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(labels) < 2 or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return False
    if _DIGITS.fullmatch(labels[-1]):
        # 010.0.0.1, 127.1 and 0x7f.0.0.1 are numbers to a resolver as well, and no names.
        return _is_usual_ipv4(name) and is_public(name)
    return labels[-1] not in _PRIVATE and not name.endswith(_PRIVATE_ENDS) and "_" not in labels[-1]


def _is_usual_ipv4(name: str) -> bool:
    try:
        return str(IPv4Address(name)) == name
    except ValueError:
        return False
