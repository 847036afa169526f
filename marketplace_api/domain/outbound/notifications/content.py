"""What notifications say, in plain English, made of what is known when they are read.

Who or what is gone, or not to be seen any more, is not named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marketplace_api.domain.outbound.notifications.types import NotificationType as T


@dataclass(frozen=True, slots=True)
class Text:
    """A few words, and a sentence or two."""

    title: str
    content: str


def text_of(row: Any) -> Text:
    """The words for a row of ``reading``."""
    return _TEXTS[T(row.type)](row)


def _person(row: Any) -> str:
    return row.actor_username or "Somebody"


def _author(row: Any) -> str:
    """Not of a review that was taken away."""
    return _person(row) if row.review_is_open else "Somebody"


def _listing(row: Any, otherwise: str) -> str:
    # In one line: else who writes a title could put sentences of their own into a message of ours.
    return f"“{' '.join(row.listing_title.split())}”" if row.listing_is_open else otherwise


def _message(row: Any) -> Text:
    about = f" about {_listing(row, '')}" if row.listing_is_open else ""
    if row.count == 1:
        return Text("New message", f"{_person(row)} wrote to you{about}.")
    return Text(f"{row.count} new messages", f"{_person(row)} sent you {row.count} messages.")


def _review(row: Any) -> Text:
    what = "you" if row.listing_id is None else _listing(row, "a listing of yours")
    return Text("New review", f"{_author(row)} reviewed {what}.")


def _reply(row: Any) -> Text:
    of = "" if row.listing_id is None else f" of {_listing(row, 'a listing')}"
    return Text("Reply to your review", f"{_author(row)} replied to your review{of}.")


def _price(row: Any) -> Text:
    price, previous, currency = (row.data.get(name) for name in ("price", "previous_price", "currency"))
    sums = f" from {previous} to {price} {currency}" if row.listing_is_open else ""
    often = "" if row.count == 1 else f" {row.count} times, the last time" if sums else f" {row.count} times"
    return Text("Price dropped", f"The price of {_listing(row, 'a listing that you keep')} dropped{often}{sums}.")


def _removed(row: Any) -> Text:
    because = _because(row)
    if row.count == 1:
        return Text("Message removed", f"A moderator removed a message of yours{because}.")
    because = because.replace("the reason", "the last time")
    return Text(f"{row.count} messages removed", f"Moderators removed {row.count} messages of yours{because}.")


def _email(row: Any) -> Text:
    if row.data.get("undone"):
        told = "The former e-mail address of your account is back, and all sessions were ended. Set a new password."
    else:
        told = "Another e-mail address is that of your account. If that was not you, open the link in the mail to the old one."
    return Text("E-mail address changed", told)


def _login(row: Any) -> Text:
    device = f" ({row.session_device})" if row.session_device else ""
    advice = "If that was not you, end the session and change your password."
    return Text("New log-in", f"Somebody logged in to your account from a new device{device}. {advice}")


def _suspended(row: Any) -> Text:
    until = row.data.get("until")
    term = f"until {datetime.fromisoformat(until):%Y-%m-%d %H:%M} UTC" if until else "until further notice"
    rest = "You can still read and take out your data, and appeal to the moderators."
    return Text("Account suspended", f"A moderator suspended your account {term}{_because(row)}. {rest}")


def _reinstated(row: Any) -> Text:
    return Text("Account reinstated", f"You can do everything again that you could before{_because(row)}.")


def _because(row: Any) -> str:
    reason = row.data.get("reason")
    return f"; the reason: “{reason}”" if reason else ""


def _of_listing(title: str, sentence: str) -> Callable[[Any], Text]:
    """Of a listing of the reader's own, or one that they keep."""
    return lambda row: Text(title, sentence.format(_listing(row, "A listing")))


def _of_listings(title: str, many: str, sentence: str, sentence_of_many: str) -> Callable[[Any], Text]:
    """Of a listing of the reader's own, or of all those that were treated alike at once."""
    one = _of_listing(title, sentence)
    return lambda row: one(row) if row.count == 1 else Text(f"{row.count} {many}", sentence_of_many.format(row.count))


def _plain(title: str, content: str) -> Callable[[Any], Text]:
    text = Text(title, content)
    return lambda _row: text


_TEXTS: Mapping[T, Callable[[Any], Text]] = {
    T.NEW_MESSAGE: _message,
    T.REVIEW_RECEIVED: _review,
    T.REVIEW_REPLIED: _reply,
    T.VERIFICATION_APPROVED: _plain("Identity verified", "Your identity was verified; your profile shows the badge."),
    T.VERIFICATION_REJECTED: _plain(
        "Identity not verified", "Your documents were not accepted. You can read why, and send others."
    ),
    T.VERIFICATION_EXPIRED: _plain(
        "Verification ran out", "The verification of your identity ran out. Send your documents again to renew it."
    ),
    T.LISTING_VERIFIED: _of_listings(
        "Listing verified",
        "listings verified",
        "{} was verified and has the badge.",
        "{} of your listings were verified and have the badge.",
    ),
    T.LISTING_REJECTED: _of_listings(
        "Listing not verified",
        "listings not verified",
        "{} was not verified; its page tells you why.",
        "{} of your listings were not verified; their pages tell you why.",
    ),
    T.LISTING_SUSPENDED: _of_listings(
        "Listing suspended",
        "listings suspended",
        "{} was taken down by a moderator; its page tells you why.",
        "{} of your listings were taken down by a moderator; their pages tell you why.",
    ),
    T.LISTING_REINSTATED: _of_listings(
        "Listing reinstated",
        "listings reinstated",
        "{} is back where it was before it was taken down.",
        "{} of your listings are back where they were before they were taken down.",
    ),
    T.MESSAGE_REMOVED: _removed,
    T.REPORT_RESOLVED: _plain("Report resolved", "Thank you for your report: a moderator has acted on it."),
    T.REPORT_DISMISSED: _plain("Report looked at", "A moderator looked at your report and found nothing to act on."),
    T.BOOKMARK_PRICE_DROPPED: _price,
    T.BOOKMARK_SOLD: _of_listing("Listing sold", "{}, which you keep, was sold."),
    T.PASSWORD_CHANGED: _plain("Password changed", "Your password was changed. If that was not you, reset it at once."),
    T.EMAIL_CHANGED: _email,
    T.NEW_LOGIN: _login,
    T.ACCOUNT_SUSPENDED: _suspended,
    T.ACCOUNT_REINSTATED: _reinstated,
}
