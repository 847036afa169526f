"""The one table that says which events of the log are pushed, under which name, about what, and on which topics.

An entry holds ids only. What is pushed of it is decided for each receiver, at the moment of pushing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marketplace_api.domain.kernel.events import EventType as T

USER, CONVERSATION, LISTING = "user", "conversation", "listing"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as far as open connections are concerned.

    ``place`` and ``place_id`` name the resource that its receivers must be able to read; with ``shows`` that resource goes
    along. ``body`` are ids. One without a ``name`` pushes nothing by itself. ``recounts`` are accounts whose unread
    totals change, ``rechecks`` is one whose sessions or rights do. ``recorded`` is the time in seconds since 1970.
    """

    event_id: int
    recorded: float
    name: str = ""
    topics: tuple[str, ...] = ()
    place: str = ""
    place_id: int = 0
    shows: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    recounts: tuple[int, ...] = ()
    rechecks: int | None = None


def entry_of(row: Any) -> Entry | None:
    """What a row of the log means to open connections; ``None`` for nothing, and for a row without the ids."""
    make = _ENTRIES.get(row.type)
    try:
        values = make(row) if make is not None else None
    except KeyError:
        return None
    if values is None:
        return None
    return Entry(row.event_id, row.date_created.timestamp(), **values)


def topic(kind: str, number: int) -> str:
    return f"{kind}:{number}"


Values = dict[str, Any] | None


def _message(name: str, *, is_new: bool) -> Callable[[Any], Values]:
    def make(row: Any) -> Values:
        conversation, people = row.new["conversation_id"], (row.new["sender_id"], row.new["receiver_id"])
        return {
            "name": name,
            "place": "message",
            "place_id": row.subject_id,
            "shows": True,
            "topics": (topic(CONVERSATION, conversation), *(topic(USER, person) for person in people)),
            "body": {"message_id": row.subject_id, "conversation_id": conversation},
            "recounts": people[1:] if is_new else people,
        }

    return make


def _read(conversation_id: int, message_id: int | None, row: Any) -> Values:
    reader = row.new["user_id"]
    return {
        "name": "message.read",
        "place": CONVERSATION,
        "place_id": conversation_id,
        "topics": (topic(CONVERSATION, conversation_id), topic(USER, reader), topic(USER, row.new["other_id"])),
        "body": {"conversation_id": conversation_id, "message_id": message_id, "user_id": reader},
        "recounts": (reader,),
    }


def _counter_changes(row: Any) -> Values:
    return {"topics": (topic(USER, row.new["user_id"]),), "recounts": (row.new["user_id"],)}


def _notification(row: Any) -> Values:
    return {
        **(_counter_changes(row) or {}),
        "name": "notification.created",
        "place": "notification",
        "place_id": row.subject_id,
        "shows": True,
        "body": {"notification_id": row.subject_id},
    }


def _listing(row: Any) -> Values:
    if row.subject_id is None:
        return None
    return {
        "name": "listing.updated",
        "place": LISTING,
        "place_id": row.subject_id,
        "topics": (topic(LISTING, row.subject_id),),
        "body": {"listing_id": row.subject_id},
    }


def _account(row: Any) -> Values:
    return {"rechecks": row.subject_id}


def _session(row: Any) -> Values:
    return {"rechecks": row.new.get("user_id", row.actor_id)}


_ENTRIES: Mapping[str, Callable[[Any], Values]] = {
    T.MESSAGE_SENT: _message("message.created", is_new=True),
    T.MESSAGE_DELETED: _message("message.updated", is_new=False),
    T.MESSAGE_RESTORED: _message("message.updated", is_new=False),
    T.MESSAGE_READ: lambda row: _read(row.new["conversation_id"], row.subject_id, row),
    T.CONVERSATION_READ: lambda row: _read(row.subject_id, None, row),
    T.CONVERSATION_HIDDEN: _counter_changes,
    T.NOTIFICATION_CREATED: _notification,
    T.NOTIFICATION_READ: _counter_changes,
    **dict.fromkeys(
        (
            T.LISTING_EDITED,
            T.LISTING_STATUS_CHANGED,
            T.LISTING_DELETED,
            T.LISTING_RESTORED,
            T.LISTING_PHOTOS_CHANGED,
            T.LISTING_VIDEO_CHANGED,
        ),
        _listing,
    ),
    **dict.fromkeys(
        (
            T.USER_ROLES_CHANGED,
            T.USER_DEACTIVATED,
            T.USER_ERASED,
            T.USER_SUSPENDED,
            T.USER_REINSTATED,
            T.USER_BANNED,
            T.USER_PASSWORD_CHANGED,
        ),
        _account,
    ),
    T.SESSION_ENDED: _session,
    T.SESSION_REUSE_DETECTED: _session,
}
