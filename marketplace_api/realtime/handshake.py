"""What the two ways in share: reading a connection's wishes, and letting it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from marketplace_api.config.settings import Settings
from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import DomainError, Invalid
from marketplace_api.realtime.authorization import Joined
from marketplace_api.realtime.clients import MOST_TOPICS, Client, problem_of
from marketplace_api.realtime.hub import Hub
from marketplace_api.views.request_properties import trusted_address

Scope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What somebody wants who connects: the ``topics``, and what came behind the event ``last_id``."""

    claims: AccessClaims
    address: str
    topics: Sequence[str]
    last_id: int | None

    async def admitted(self, hub: Hub) -> tuple[Actor, Sequence[Joined | DomainError], int]:
        """Who they are, what came of each topic, and where in the log they begin; raises what refuses them."""
        actor = await hub.ask(hub.channels.admit, self.claims, self.address)
        joined: Sequence[Joined | DomainError] = ()
        if self.topics:
            joined = await hub.ask(hub.channels.join, self.claims, self.topics)
        cursor = await hub.place(self.last_id)
        hub.require_room(self.claims.user_id)
        return actor, joined, cursor

    def ready(self, client: Client, joined: Sequence[Joined | DomainError]) -> dict[str, Any]:
        """What the connection is told first."""
        refused = [
            {"topic": name, "error": problem_of(answer)}
            for name, answer in zip(self.topics, joined, strict=True)
            if isinstance(answer, DomainError)
        ]
        return {
            "id": max(client.cursor, 0),
            "user_id": client.user_id,
            "topics": list(client.topics),
            "refused": refused,
            "expires_at": client.claims.expires_at.isoformat(),
        }


def words_of(given: Any) -> list[str]:
    """Topics as a list, or as text with commas; raises :class:`Invalid`."""
    if isinstance(given, str):
        given = [word.strip() for word in given.split(",") if word.strip()]
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MOST_TOPICS or not all(isinstance(word, str) for word in given):
        raise Invalid(f"Name up to {MOST_TOPICS} topics, such as conversation:42.")
    return list(dict.fromkeys(given))


def number_of(given: Any) -> int | None:
    """The id of an event, as a number or as text; raises :class:`Invalid`."""
    if given is None or given == "":
        return None
    text = str(given)
    if isinstance(given, bool) or not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > BIGINT_MAX:
        raise Invalid("The last id is that of an event: a whole number.")
    return int(text)


def header(scope: Scope, name: bytes) -> str:
    """A header's value, empty where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def address_of(scope: Scope, settings: Settings) -> str:
    """The client's address, as the last trusted proxy saw it."""
    direct = scope["client"][0] if scope.get("client") else ""
    return trusted_address(direct, header(scope, b"x-forwarded-for"), settings.trusted_proxies)


def is_allowed_origin(origin: str, host: str, settings: Settings) -> bool:
    """Whether a page of this origin may connect: one of those that may call the API, or one of the service's own."""
    own = urlsplit(settings.public_url)
    if not origin or origin in settings.cors_origins or origin == f"{own.scheme}://{own.netloc}":
        return True
    return origin in (f"https://{host}", f"http://{host}")
