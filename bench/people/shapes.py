"""The kinds of requests by which people deal with each other, with hundreds of values each, drawn with a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import psycopg

from bench.people.callers import Callers
from bench.people.plan import Plan
from bench.shapes import ATTEMPTS, SEED, VALUES

DEEP = 500
"""Pages; further than this only cursors lead."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request by an account. ``before`` is SQL that makes it possible again, run outside the clock."""

    target: str
    caller: int
    method: str = "GET"
    body: str = ""
    before: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.target} by {self.caller} {self.body}".rstrip()


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request; ``draw`` makes one value of it."""

    name: str
    title: str
    draw: Callable[[Drawing], Request]
    writes: bool = False


class Drawing:
    """What values are drawn from: chance, the plan and the database, and the application for walking to cursors."""

    def __init__(self, name: str, plan: Plan, connection: psycopg.Connection[Any], callers: Callers) -> None:
        self.chance = random.Random(f"{SEED} {name}")
        self.plan, self.connection, self.callers = plan, connection, callers
        self.deep = _deep_pages(self)

    def answer(self, target: str, caller: int) -> Any:
        return orjson.loads(self.callers.call(target, caller)()[1])

    def sides(self, users: Sequence[int], condition: str = "true") -> list[tuple[int, int, int]]:
        """Conversation, account and other account of some conversations of ``users``."""
        return self.connection.execute(
            "SELECT conversation_id, user_id, other_id FROM conversation_sides"
            f" WHERE user_id = ANY(%s) AND {condition} ORDER BY conversation_id, user_id LIMIT %s",
            [list(users), 3 * VALUES],
        ).fetchall()

    @cached_property
    def crowd(self) -> list[int]:
        return self.chance.sample(self.plan.crowd, min(VALUES, len(self.plan.crowd)))

    @cached_property
    def current(self) -> list[tuple[int, int, int]]:
        return self.sides(self.crowd)

    @cached_property
    def unread(self) -> list[tuple[int, int, int]]:
        return self.sides(self.crowd, "unread_count > 0")

    @cached_property
    def long(self) -> list[tuple[int, int, int]]:
        return self.sides(self.plan.talkers)

    @cached_property
    def short(self) -> list[tuple[int, int, int]]:
        return self.sides(self.plan.quiet)

    @cached_property
    def reviewed(self) -> list[int]:
        """The public listings with the most reviews."""
        rows = self.connection.execute(
            "SELECT listing_id FROM listings WHERE is_public ORDER BY rating_count DESC, listing_id LIMIT %s",
            [len(self.plan.popular)],
        )
        return [listing for (listing,) in rows]

    def strangers(self) -> tuple[int, int]:
        """Two who have not written to each other."""
        while True:
            one, other = sorted(self.chance.sample(self.plan.crowd, 2))
            known = self.connection.execute(
                "SELECT FROM conversations WHERE participant1_id = %s AND participant2_id = %s", [one, other]
            )
            if not known.rowcount:
                return one, other

    def text(self) -> str:
        return f"Is it still there? I could come at {self.chance.randint(0, 10**9)}."


def requests(
    shape: Shape, plan: Plan, connection: psycopg.Connection[Any], callers: Callers, values: int = VALUES
) -> list[Request]:
    """Up to ``values`` different requests of ``shape``, always the same for the same data."""
    drawing = Drawing(shape.name, plan, connection, callers)
    found: dict[Request, None] = {}
    for _ in range(values * ATTEMPTS):
        found[shape.draw(drawing)] = None
        if len(found) == values:
            break
    return list(found)


def _post(target: str, caller: int, body: Mapping[str, Any] | None = None, before: str = "") -> Request:
    return Request(target, caller, "POST", orjson.dumps(body).decode() if body else "", before)


def _busy_inbox(drawing: Drawing) -> Request:
    return Request("/api/conversations", drawing.chance.choice(drawing.plan.busy))


def _quiet_inbox(drawing: Drawing) -> Request:
    return Request("/api/conversations", drawing.chance.choice(drawing.plan.quiet))


def _long_thread(drawing: Drawing) -> Request:
    return _thread(drawing.chance.choice(drawing.long))


def _short_thread(drawing: Drawing) -> Request:
    return _thread(drawing.chance.choice(drawing.short))


def _thread(side: tuple[int, int, int], query: str = "") -> Request:
    return Request(f"/api/conversations/{side[0]}/messages{query}", side[1])


def _deep_thread(drawing: Drawing) -> Request:
    return next(drawing.deep)


def _deep_pages(drawing: Drawing) -> Iterator[Request]:
    """Cursors to as deep as page numbers go, or to the last pages of a shorter conversation."""
    pages = min(DEEP, drawing.answer(_thread(drawing.long[0]).target, drawing.long[0][1])["totalPages"])
    while True:
        side = drawing.chance.choice(drawing.long)
        page = max(1, pages - drawing.chance.randint(1, min(100, pages)))
        near = _thread(side, f"?page={page}")
        yield Request(str(drawing.answer(near.target, near.caller)["_links"]["next"]["href"]), side[1])


def _bookmarks(drawing: Drawing) -> Request:
    return Request("/api/users/me/bookmarks", drawing.chance.choice(drawing.plan.busy))


def _notifications(drawing: Drawing) -> Request:
    return Request("/api/notifications", drawing.chance.choice(drawing.plan.busy))


def _few_notifications(drawing: Drawing) -> Request:
    return Request("/api/notifications", drawing.chance.choice(drawing.plan.quiet))


def _reviews(drawing: Drawing) -> Request:
    return Request(
        f"/api/listings/{drawing.chance.choice(drawing.reviewed)}/reviews", drawing.chance.choice(drawing.crowd)
    )


def _message(drawing: Drawing) -> Request:
    conversation, caller, _ = drawing.chance.choice(drawing.current)
    return _post("/api/messages", caller, {"conversation_id": conversation, "content": drawing.text()})


def _first_message(drawing: Drawing) -> Request:
    one, other = drawing.strangers()
    pair = f"participant1_id = {one} AND participant2_id = {other}"
    again = (
        f"UPDATE conversations SET last_message_id = NULL, last_message_preview = NULL WHERE {pair};"
        f"DELETE FROM conversations WHERE {pair}"
    )
    return _post("/api/messages", one, {"receiver_id": other, "content": drawing.text()}, again)


def _read(drawing: Drawing) -> Request:
    conversation, caller, _ = drawing.chance.choice(drawing.unread)
    again = (
        "UPDATE conversation_sides SET read_through = 0, unread_count = 1"
        f" WHERE conversation_id = {conversation} AND user_id = {caller}"
    )
    return _post(f"/api/conversations/{conversation}/read", caller, before=again)


REVIEWS = Shape("reviews", "A listing's reviews, 300", _reviews)
SHAPES = (
    Shape("inbox_busy", "Inbox of 1,000 conversations", _busy_inbox),
    Shape("inbox_quiet", "Inbox of ten conversations", _quiet_inbox),
    Shape("thread_long", "Long conversation, page 1", _long_thread),
    Shape("thread_deep", "Long conversation, deep cursor", _deep_thread),
    Shape("thread_short", "Conversation of ten messages", _short_thread),
    Shape("notifications", "Notifications, 1,000", _notifications),
    Shape("notifications_few", "Notifications, ten", _few_notifications),
    Shape("bookmarks", "Bookmarks, page 1", _bookmarks),
    REVIEWS,
    Shape("message", "Send a message", _message, writes=True),
    Shape("first_message", "Send a first message", _first_message, writes=True),
    Shape("mark_read", "Mark a conversation read", _read, writes=True),
)
"""What else people do to each other is measured by one more line here, and filled by one more step of ``fill.py``."""
