"""The kinds of notifications there are, and by which channels each comes unless its receiver chooses otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from marketplace_api.models.outbound.notifications import CHANNELS, SECURITY_TYPES


class NotificationType(StrEnum):
    """What a notification tells; each has its place in :data:`KINDS` and its words in ``content``."""

    NEW_MESSAGE = "new_message"
    REVIEW_RECEIVED = "review_received"
    REVIEW_REPLIED = "review_replied"
    VERIFICATION_APPROVED = "verification_approved"
    VERIFICATION_REJECTED = "verification_rejected"
    VERIFICATION_EXPIRED = "verification_expired"
    LISTING_VERIFIED = "listing_verified"
    LISTING_REJECTED = "listing_rejected"
    LISTING_SUSPENDED = "listing_suspended"
    LISTING_REINSTATED = "listing_reinstated"
    MESSAGE_REMOVED = "message_removed"
    REPORT_RESOLVED = "report_resolved"
    REPORT_DISMISSED = "report_dismissed"
    BOOKMARK_PRICE_DROPPED = "bookmark_price_dropped"
    BOOKMARK_SOLD = "bookmark_sold"
    PASSWORD_CHANGED = "password_changed"
    EMAIL_CHANGED = "email_changed"
    NEW_LOGIN = "new_login"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_REINSTATED = "account_reinstated"


@dataclass(frozen=True, slots=True)
class TypeRule:
    """``label`` names it in forms; ``channels`` are those by which it comes by default."""

    label: str
    channels: frozenset[str]


def _kind(label: str, *channels: str) -> TypeRule:
    return TypeRule(label, frozenset(("in_app", *channels)))


_T = NotificationType
KINDS: Mapping[NotificationType, TypeRule] = {
    _T.NEW_MESSAGE: _kind("New messages", "email", "web_push"),
    _T.REVIEW_RECEIVED: _kind("Reviews of you and your listings", "email"),
    _T.REVIEW_REPLIED: _kind("Replies to your reviews"),
    _T.VERIFICATION_APPROVED: _kind("Your identity was verified", "email", "web_push"),
    _T.VERIFICATION_REJECTED: _kind("Your identity could not be verified", "email", "web_push"),
    _T.VERIFICATION_EXPIRED: _kind("Your verification ran out", "email"),
    _T.LISTING_VERIFIED: _kind("A listing of yours was verified", "email"),
    _T.LISTING_REJECTED: _kind("A listing of yours was not verified", "email"),
    _T.LISTING_SUSPENDED: _kind("A listing of yours was taken down", "email", "web_push"),
    _T.LISTING_REINSTATED: _kind("A listing of yours is back", "email"),
    _T.MESSAGE_REMOVED: _kind("A message of yours was removed", "email"),
    _T.REPORT_RESOLVED: _kind("Something was done about your report"),
    _T.REPORT_DISMISSED: _kind("Your report was looked at"),
    _T.BOOKMARK_PRICE_DROPPED: _kind("A listing that you keep costs less", "web_push"),
    _T.BOOKMARK_SOLD: _kind("A listing that you keep was sold"),
    _T.PASSWORD_CHANGED: _kind("Your password was changed", "email", "web_push"),
    _T.EMAIL_CHANGED: _kind("Your e-mail address was changed", "email", "web_push"),
    _T.NEW_LOGIN: _kind("A log-in from a new device", "email", "web_push"),
    _T.ACCOUNT_SUSPENDED: _kind("Your account was suspended", "email", "web_push"),
    _T.ACCOUNT_REINSTATED: _kind("Your account is yours again", "email", "web_push"),
}


_OWN_MAILS = frozenset({_T.PASSWORD_CHANGED, _T.EMAIL_CHANGED, _T.ACCOUNT_SUSPENDED, _T.ACCOUNT_REINSTATED})
_ACCOUNT = frozenset({_T.VERIFICATION_APPROVED, _T.VERIFICATION_REJECTED, _T.VERIFICATION_EXPIRED})
_OF_OTHERS = frozenset(
    {_T.NEW_MESSAGE, _T.REVIEW_RECEIVED, _T.REVIEW_REPLIED, _T.BOOKMARK_PRICE_DROPPED, _T.BOOKMARK_SOLD}
)


def by_default(type: NotificationType, channel: str) -> bool:
    """Whether it comes by ``channel`` to those who have chosen nothing."""
    return channel in KINDS[type].channels


def is_fixed(type: str, channel: str) -> bool:
    """Whether nobody can switch it off: who took an account over would, and why one is shut out must be told."""
    return channel == "email" and type in SECURITY_TYPES


def is_urgent(type: str) -> bool:
    """Whether it guards the account, and so waits for no quiet hours and goes to an address that is in doubt."""
    return type in SECURITY_TYPES


def is_digested(type: str) -> bool:
    """Whether its e-mails may be gathered for a day: none that are about the account itself."""
    return not is_urgent(type) and type not in _ACCOUNT


def is_of_others(type: str) -> bool:
    """Whether it invites to answer or to deal, which a suspended account cannot."""
    return type in _OF_OTHERS


def is_mailed_otherwise(type: str) -> bool:
    """Whether the account is sent a mail of its own for it, whatever its owner chose."""
    return type in _OWN_MAILS


__all__ = [
    "CHANNELS",
    "KINDS",
    "NotificationType",
    "TypeRule",
    "by_default",
    "is_digested",
    "is_fixed",
    "is_mailed_otherwise",
    "is_of_others",
    "is_urgent",
]
