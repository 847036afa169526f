"""Who may see what: the same tree, the same ACLs and the same representations as a GET has, asked in threads.

There is no rule in here. A topic, or what an event is about, is the address of a resource; whoever may GET it now may
follow it and is told of it, in the words of that GET.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyramid.interfaces import IRequestFactory
from pyramid.request import Request

from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import feed, stream_tickets
from marketplace_api.domain.identity.accounts import sessions
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import DomainError, Gone, NotFound, RateLimited, Unauthenticated
from marketplace_api.hal import affordances
from marketplace_api.hal.registry import represent
from marketplace_api.hal.representation import JSON, link
from marketplace_api.realtime.event_map import CONVERSATION, LISTING, USER, Entry, entry_of
from marketplace_api.resources.base import identifier
from marketplace_api.resources.community.conversations import MessagesContext
from marketplace_api.resources.eventlog.stream_tickets import PATH
from marketplace_api.resources.root import root_factory
from marketplace_api.resources.traverser import Steps, descend, steps_of
from marketplace_api.security.permissions import Permission
from marketplace_api.security.policy import may
from marketplace_api.views.errors import refusal_of, what_failed

# Kind -> address of the resource. Users follow themselves only.
PLACES = {
    CONVERSATION: "/api/conversations/{conversation_id}",
    LISTING: "/api/listings/{listing_id}",
    "message": "/api/messages/{message_id}",
    "notification": "/api/notifications/{notification_id}",
}
TOPICS = (USER, CONVERSATION, LISTING)

Push = tuple[str, dict[str, Any]]
"""The name of an event and its JSON-ready body."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of looking at a few entries for one caller: for each what to push, or why not; and who they are now."""

    actor: Actor
    pushes: Sequence[Push | DomainError | None]


@dataclass(frozen=True, slots=True)
class Joined:
    """A topic that the caller may follow; ``other_id`` is the other person of a conversation."""

    topic: str
    other_id: int | None = None


class Authorization:
    """Asks as one caller or another, each time through a connection that is theirs for that time."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._databases: Databases = registry.databases
        self._make_request = registry.getUtility(IRequestFactory).blank
        reading = {found.path: found.permission for found in affordances.ALL if found.is_safe}
        self._places: Mapping[str, tuple[Steps, str, Permission]] = {
            kind: (steps_of(path), path, reading[path]) for kind, path in PLACES.items()
        }

    def verified(self, token: str) -> AccessClaims:
        """What an access token says; raises :class:`Unauthenticated`."""
        claims: AccessClaims = self._registry.signing_keys.verify(token)
        return claims

    def redeemed(self, ticket: str) -> AccessClaims:
        """What a ticket stands for, as long as an access token would last; raises :class:`Unauthenticated`."""
        user_id, session_id = stream_tickets.redeem_ticket(self._databases, ticket)
        return AccessClaims(user_id, session_id, datetime.now(UTC) + self._registry.account_rules.access_lifetime)

    def what_failed(self, error: Exception) -> DomainError:
        """See :func:`marketplace_api.views.errors.what_failed`; may ask the database."""
        return what_failed(error, self._registry)

    def misfit(self, error: BaseException) -> str | None:
        """What is wrong with the schema, if the error comes of that; it stands in the log then, once."""
        told: str | None = self._registry.schema_watch.explain(error, self._databases)
        return told

    def horizon(self) -> int:
        """The id of the event up to which the log is decided."""
        with self._databases.primary_reader() as db:
            return feed.horizon(db)

    def dropped(self) -> int:
        """The id up to which events are missing in the log, because they were dropped with their month."""
        with self._databases.primary_reader() as db:
            return feed.dropped(db)

    def part_of_log(self, event_id: int, high: int) -> tuple[list[Entry], int]:
        """The entries of the next events behind an id, and the id that they reach; ``high`` is known to be decided."""
        with self._databases.primary_reader() as db:
            rows = feed.between(db, event_id, high)
        entries = [entry for row in rows if (entry := entry_of(row)) is not None]
        return entries, rows[-1].event_id if len(rows) == feed.BATCH else high

    def admit(self, claims: AccessClaims, address: str) -> Actor:
        """Who connects, if they may; raises :class:`Unauthenticated`, :class:`RateLimited` and what a refused GET says."""
        self._limit(address, account=False)
        with self._asking(claims) as (actor, db):
            self._limit(f"user:{claims.user_id}", account=True)
            request = self._request(db, actor, PATH)
            request.context = root_factory(request)["api"]["stream"]
            if not may(actor, request.context, Permission.STREAM_OPEN):
                raise refusal_of(request)
        return actor

    def join(self, claims: AccessClaims, names: Sequence[str]) -> list[Joined | DomainError]:
        """Each of the topics, or why the caller may not follow it."""
        with self._asking(claims) as (actor, db):
            return [self._join(db, actor, name) for name in names]

    def _join(self, db: Any, actor: Actor, name: str) -> Joined | DomainError:
        kind, _, number = name[:100].partition(":")
        if kind not in TOPICS:
            return NotFound("There is no such topic.")
        try:
            if kind == USER:
                return self._own(actor, name, number)
            context = self._context(db, actor, kind, identifier(number))
        except KeyError:
            return NotFound("There is no such topic.")
        except DomainError as refusal:
            return refusal
        return Joined(name, context.person_id if kind == CONVERSATION and context.can_message else None)

    def _own(self, actor: Actor, name: str, number: str) -> Joined | DomainError:
        return Joined(name) if actor.owns(identifier(number)) else NotFound("There is no such topic.")

    def look(self, claims: AccessClaims, entries: Sequence[Entry]) -> Seen:
        """What the caller is pushed of the entries, now; raises :class:`Unauthenticated` if they are nobody any more."""
        with self._asking(claims) as (actor, db):
            return Seen(actor, [self._push(db, actor, entry) for entry in entries])

    def _push(self, db: Any, actor: Actor, entry: Entry) -> Push | DomainError | None:
        if not entry.name:
            return None
        try:
            context = self._context(db, actor, entry.place, entry.place_id)
        except DomainError as refusal:
            return refusal
        body = {"id": entry.event_id, **entry.body, "_links": {"about": link(context.path)}}
        if entry.shows:
            body[entry.place] = represent(context).render(JSON, actor)
        return entry.name, body

    def unread(self, claims: AccessClaims) -> dict[str, Any]:
        """The caller's totals, as ``unread.changed`` tells them."""
        with self._asking(claims) as (actor, db):
            found = stream_tickets.unread(db, actor.user_id or 0)
        return {
            "messages": {"unreadCount": found.messages, "_links": {"about": link("/api/conversations")}},
            "notifications": {"unreadCount": found.notifications, "_links": {"about": link("/api/notifications")}},
        }

    def counterpart(self, claims: AccessClaims, conversation_id: int, *, to_write: bool) -> int:
        """The other person of a conversation that the caller may read, or write into; raises what refuses it."""
        with self._asking(claims) as (actor, db):
            context = self._context(db, actor, CONVERSATION, conversation_id)
            writing = MessagesContext.seen_from(context, "/api/messages")
            if to_write and not (writing.is_open and may(actor, writing, Permission.MESSAGE_SEND)):
                context.request.context = writing
                raise refusal_of(context.request)
            if not context.can_message:
                raise NotFound("This person is not there for you.")
            return int(context.person_id)

    def _context(self, db: Any, actor: Actor, kind: str, number: int) -> Any:
        """The resource, if a GET of it would succeed; raises what that would answer."""
        steps, path, permission = self._places[kind]
        request = self._request(db, actor, path)
        node, missing = descend(root_factory(request), steps, {name: str(number) for name, known in steps if known})
        request.context = node
        if missing:
            raise NotFound("There is nothing at this address.")
        if not may(actor, node, permission):
            raise refusal_of(request)
        return node

    def _request(self, db: Any, actor: Actor, path: str) -> Request:
        request = self._make_request(path)
        request.registry, request.media = self._registry, JSON
        request.connection = request.primary = request.db = db
        request.actor, request.address = actor, ""
        return request

    @contextmanager
    def _asking(self, claims: AccessClaims) -> Iterator[tuple[Actor, Any]]:
        """Who calls now, and a connection to the primary that is theirs for the time of the block."""
        if claims.expires_at <= datetime.now(UTC):
            raise Unauthenticated("The access token has expired; refresh it.", "token_expired")
        reader = self._databases.reader(known=True)
        try:
            yield sessions.identify(reader, claims, None), reader
        finally:
            self._databases.give_back(reader)

    def _limit(self, subject: str, *, account: bool) -> None:
        limiter = self._registry.limiter
        allowance = limiter.hit("default", subject, account=account) if limiter is not None else None
        if allowance is not None and not allowance.allowed:
            raise RateLimited(
                f"Too many requests; wait {allowance.reset} seconds.", retry_after=max(1, allowance.reset)
            )


def is_over(refusal: DomainError) -> bool:
    """Whether a refusal says that there is nothing for the caller to see any more."""
    return isinstance(refusal, NotFound | Gone)
