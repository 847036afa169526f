"""Which of the addresses that somebody else chose may be called: those of the public Internet.

What is told here needs nobody to be asked; who calls them asks for a host's addresses and holds to those (``safe_http``).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address, ip_network
from unicodedata import normalize
from urllib.parse import urlsplit

from marketplace_api.config.settings import Settings

# IANA's special-purpose registries (RFC 6890): of IPv6 only 2000::/3 is given out, which leaves out whatever embeds an
# IPv4 address (mapped, translated), local and group addresses; within it, Teredo, 6to4 and documentation.
_PUBLIC_V6 = ip_network("2000::/3")
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # Azure tells machines about themselves at an address that looks public.
        "168.63.129.16/32",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


class OutboundRefused(Exception):
    """The address may never be called; trying again is useless. The message is a sentence for who chose the address."""


def check_url(settings: Settings, url: str) -> None:
    """Raises :class:`OutboundRefused` for what can be told to be refused without asking for the host's addresses."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise OutboundRefused("That is no address.") from None
    schemes = ("https",) if settings.production else ("https", "http")
    if parts.scheme not in schemes or not host:
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        raise OutboundRefused(f"The address must start with {begins} and name a host.")
    if "@" in parts.netloc:
        raise OutboundRefused("The address must hold no user and no password.")
    if settings.outbound_allow_private:
        return
    with suppress(ValueError):
        require_public([str(ip_address(host))])
    # What the resolver takes for an IPv4 address without asking anybody: 2130706433, 0x7f.1, and in other letters. The
    # host is in the form in which it would be called.
    with suppress(ValueError, OSError):
        require_public([socket.inet_ntoa(socket.inet_aton(normalize("NFKC", host).rstrip(".")))])
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        raise OutboundRefused("The address must be one of the public Internet.")


def is_public(address: str) -> bool:
    """Whether the IP address is one of the public Internet; those that stand for another address are not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if ip.version == 6 and ip not in _PUBLIC_V6:
        return False
    return not any(ip in network for network in _REFUSED if network.version == ip.version)


def require_public(addresses: list[str]) -> None:
    """Raises :class:`OutboundRefused` unless all of them are, and there is one."""
    # One that is not public among public ones is an attack, or a mistake as dangerous.
    if not addresses or not all(map(is_public, addresses)):
        raise OutboundRefused("The address must be one of the public Internet.")
