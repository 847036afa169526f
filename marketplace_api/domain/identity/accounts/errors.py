"""The errors that several parts of the accounts domain raise, each worded once."""

from __future__ import annotations

from datetime import datetime

from marketplace_api.domain.identity import passwords
from marketplace_api.errors import Conflict, FieldError, Forbidden, Gone, Invalid, Unauthenticated


def invalid_credentials() -> Unauthenticated:
    return Unauthenticated("The e-mail address or the password is wrong.", "invalid_credentials")


def banned(reason: str | None) -> Forbidden:
    """``reason`` is what the moderator gave; only for who proved to be the owner."""
    because = f"; the reason: “{reason}”" if reason else ""
    return Forbidden(f"This account has been banned{because}.", "account_banned", extra={"reason": reason})


def suspended(reason: str | None, until: datetime | None) -> Forbidden:
    """``reason`` is what the moderator gave, ``until`` (aware) when it ends by itself, ``None`` for no such time."""
    term = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until further notice"
    detail = f"This account is suspended {term}: it may read and appeal, nothing else."
    return Forbidden(detail, "account_suspended", extra={"reason": reason, "until": until})


def session_ended() -> Unauthenticated:
    return Unauthenticated("This session is over; log in again.", "session_ended")


def invalid_refresh_token() -> Unauthenticated:
    return Unauthenticated("The refresh token is not valid; log in again.", "token_invalid")


def invalid_token() -> Invalid:
    """A one-time token that was never ours, was used, has expired or has been replaced: which, stays untold."""
    message = "This link is not valid any more; ask for a new one."
    return Invalid(message, "invalid_token", [FieldError("body", "token", "invalid_token", message)])


def wrong_password(field: str) -> Invalid:
    """The caller is logged in, so this is bad input: "who are you?" would make clients log them out."""
    message = "This is not your current password."
    return Invalid(message, errors=[FieldError("body", field, "wrong_password", message)])


def password_needed(field: str) -> Invalid:
    """Something takes more than being logged in."""
    message = "Give your current password to change your e-mail address."
    return Invalid(message, errors=[FieldError("body", field, "required", message)])


def gone() -> Gone:
    return Gone("This account has been deleted.")


def wrong_state(state: str, wanted: str) -> Conflict:
    message = f"The account is {state}; this needs it to be {wanted}."
    return Conflict(message, "wrong_state", extra={"state": state})


def require_strong(password: str, *, username: str, email: str, field: str = "password") -> None:
    """Raise :class:`Invalid` ``weak_password`` with everything that is weak about ``password``."""
    errors = passwords.weaknesses(password, username=username, email=email, field=field)
    if errors:
        raise Invalid("Choose a stronger password.", "weak_password", errors)
