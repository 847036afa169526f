"""What notifications are about, and where that is found: paths of the API without what stands before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marketplace_api.domain.outbound.notifications.types import NotificationType as T


def _conversation(row: Any) -> str | None:
    return f"/conversations/{row.conversation_id}" if row.conversation_is_open else None


def _conversations(_row: Any) -> str:
    return "/conversations"  # one message of several may be in another, or deleted from its sender's view


def _review(row: Any) -> str | None:
    return f"/reviews/{row.review_id}" if row.review_is_open else None


def _listing(row: Any) -> str | None:
    if row.listing_id is None:
        return "/users/me/listings"  # of several at once
    return f"/listings/{row.listing_id}" if row.listing_is_open else None


def _session(row: Any) -> str | None:
    return f"/auth/sessions/{row.session_id}" if row.session_is_open else None


def _account(_row: Any) -> str:
    return "/users/me"


def _verification(_row: Any) -> str:
    return "/users/me/verification"


def _report(row: Any) -> str:
    return f"/reports/{row.data['report_id']}"


SUBJECTS: Mapping[T, tuple[str, Callable[[Any], str | None]]] = {
    T.NEW_MESSAGE: ("message_id", _conversation),
    T.MESSAGE_REMOVED: ("message_id", _conversations),
    T.REVIEW_RECEIVED: ("review_id", _review),
    T.REVIEW_REPLIED: ("review_id", _review),
    **dict.fromkeys(
        (T.VERIFICATION_APPROVED, T.VERIFICATION_REJECTED, T.VERIFICATION_EXPIRED), ("verification_id", _verification)
    ),
    **dict.fromkeys(
        (
            T.LISTING_VERIFIED,
            T.LISTING_REJECTED,
            T.LISTING_SUSPENDED,
            T.LISTING_REINSTATED,
            T.BOOKMARK_PRICE_DROPPED,
            T.BOOKMARK_SOLD,
        ),
        ("listing_id", _listing),
    ),
    **dict.fromkeys((T.REPORT_RESOLVED, T.REPORT_DISMISSED), ("report_id", _report)),
    **dict.fromkeys(
        (T.PASSWORD_CHANGED, T.EMAIL_CHANGED, T.ACCOUNT_SUSPENDED, T.ACCOUNT_REINSTATED), ("user_id", _account)
    ),
    T.NEW_LOGIN: ("session_id", _session),
}
"""The field with the id of what it is about, and the path to that: of a row of ``reading``, ``None`` for what is gone."""
