"""Where open connections lead, and the tickets for them, as they go out."""

from __future__ import annotations

from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.eventlog.stream_tickets import PATH, TICKETS

SOCKET = "/socket.io/"


def stream_links(url: str) -> Links:
    """The links of the entry for who is known; ``url`` is where the realtime process is reached, empty for here."""
    base = url.rstrip("/")
    return {
        "mkt:stream": link(
            f"{base}{PATH}{{?topics,last_id,ticket}}",
            templated=True,
            type="text/event-stream",
            title="What happens, as it happens",
        ),
        "mkt:socket": link(f"{base}{SOCKET}", title="The same by socket.io"),
        "mkt:stream-tickets": link(TICKETS, title="Tickets for the stream, where no header can be sent"),
    }


def ticket(text: str, seconds: int, url: str) -> Representation:
    """A ticket that was just made."""
    links: Links = {"mkt:stream": link(f"{url.rstrip('/')}{PATH}?ticket={text}"), "up": link("/api")}
    return Representation({"ticket": text, "expires_in": seconds}, links)
