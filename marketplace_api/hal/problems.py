"""Problem details (RFC 9457): the catalogue of codes and the body of every error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace_api.errors import DomainError

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class ErrorCode:
    """A row of the catalogue: what the code means and what its reader should do."""

    code: str
    status: int
    title: str
    advice: str


def _catalogue(*rows: tuple[str, int, str, str]) -> dict[str, ErrorCode]:
    return {code: ErrorCode(code, status, title, advice) for code, status, title, advice in rows}


CODES: Mapping[str, ErrorCode] = _catalogue(
    ("invalid_input", 400, "Invalid input", "Correct the fields named in `errors`; all of them are listed at once."),
    ("malformed_body", 400, "Malformed body", "Send one JSON object encoded as UTF-8."),
    (
        "malformed_request",
        400,
        "Malformed request",
        "Send one Host header, and a body that is as its Content-Length or chunks say.",
    ),
    ("unknown_parameter", 400, "Unknown query parameter", "Remove the parameter or correct its name."),
    (
        "invalid_cursor",
        400,
        "Invalid cursor",
        "Start again from the first page; cursors are opaque and belong to one search.",
    ),
    ("page_too_deep", 400, "Page too deep", "Follow the `next` links (cursors) instead of high page numbers."),
    ("invalid_token", 400, "Invalid token", "Ask for a new one; tokens from e-mails work once and expire."),
    (
        "invalid_code",
        400,
        "Wrong code",
        "Send the six digits of the last text message; after five attempts ask for another.",
    ),
    ("weak_password", 400, "Weak password", "Choose another password; `errors` names each reason."),
    ("invalid_file", 400, "File not accepted", "Send another file; `errors` says what is wrong with this one."),
    (
        "unauthenticated",
        401,
        "Authentication needed",
        "Send `Authorization: Bearer <token>`; `POST /api/auth/login` gives one.",
    ),
    ("invalid_credentials", 401, "Wrong e-mail or password", "Check both, or ask for a password reset."),
    ("token_expired", 401, "Token expired", "Get a new pair from `POST /api/auth/refresh`."),
    ("token_invalid", 401, "Token not accepted", "Log in again."),
    (
        "session_ended",
        401,
        "Session ended",
        "Log in again; the session was ended by a log-out, a new password or a moderator.",
    ),
    (
        "refresh_token_reused",
        401,
        "Refresh token used twice",
        "Log in again; the session was ended because an old token came back.",
    ),
    (
        "forbidden",
        403,
        "Not allowed",
        "The account may not do this; the representation's `_templates` list what it may.",
    ),
    (
        "account_suspended",
        403,
        "Account suspended",
        "Reading is still possible; `reason` tells why, `until` when it ends by itself. Appeal to the moderators.",
    ),
    ("own_review", 403, "A review of oneself", "Review what others offer; to answer a review, `POST` to its `reply`."),
    ("own_report", 403, "A report of oneself", "Edit or delete what is yours; report what others do."),
    ("account_banned", 403, "Account banned", "This account may not log in; `reason` tells why."),
    ("blocked", 403, "Blocked", "This person takes neither messages nor reviews from the account; nothing was sent."),
    ("blocked_by_you", 403, "Blocked by you", "You have blocked this person; unblock them to write to them."),
    (
        "email_unconfirmed",
        403,
        "E-mail address not confirmed",
        "This needs a confirmed e-mail address; have the mail sent again.",
    ),
    ("account_too_new", 403, "Account too new", "The account is not old enough for this yet."),
    (
        "no_conversation",
        403,
        "No conversation",
        "Only who exchanged messages with somebody may review them or their listings.",
    ),
    ("message_to_oneself", 403, "A message to oneself", "Name another account as the receiver."),
    ("block_of_oneself", 403, "A block of oneself", "Name another account."),
    ("not_found", 404, "Not found", "Check the address; start from `/api` and follow links."),
    ("method_not_allowed", 405, "Method not allowed", "The `Allow` header lists the methods of this resource."),
    (
        "not_acceptable",
        406,
        "Not acceptable",
        "Ask for `application/json`, `application/hal+json` or `application/prs.hal-forms+json`.",
    ),
    ("request_timeout", 408, "Too slow", "Send the whole body at once, or over a faster connection."),
    ("conflict", 409, "Conflict", "Read the current state and decide again."),
    ("already_taken", 409, "Already taken", "Choose another value for the fields named in `errors`."),
    ("already_reviewed", 409, "Reviewed already", "You review each listing or person once; `review_id` names yours."),
    ("already_reported", 409, "Reported already", "You report each thing once; `report_id` names your report."),
    (
        "wrong_state",
        409,
        "Not possible in this state",
        "`state` tells the present one; the representation's `_templates` list what is possible.",
    ),
    ("last_admin", 409, "The last active admin", "Give another account the role admin first."),
    ("too_many_webhooks", 409, "Too many webhooks", "Delete a webhook first."),
    ("sms_stopped", 409, "Text messages stopped", "Send START from that number, or choose another number."),
    ("too_many_photos", 409, "Too many photos", "Remove a photo first."),
    (
        "events_ahead",
        409,
        "Events ahead",
        "No event has this id yet, so the log was restored from a backup: read anew what you keep, and go on behind the newest.",
    ),
    (
        "request_in_flight",
        409,
        "Request in flight",
        "The first request with this Idempotency-Key is still running; try again in a moment.",
    ),
    ("gone", 410, "Gone", "It was deleted."),
    (
        "events_gone",
        410,
        "Events gone",
        "Events behind this id are not kept any more; go on behind the one that is named.",
    ),
    (
        "recipient_gone",
        410,
        "Recipient gone",
        "Nobody reads messages to this account any more; the conversation can still be read.",
    ),
    (
        "precondition_failed",
        412,
        "Changed meanwhile",
        "`current` is the present representation; apply the change to it and use its ETag.",
    ),
    ("body_too_large", 413, "Body too large", "Send less; the limit is in `detail`."),
    ("uri_too_long", 414, "Address too long", "Shorten the query string."),
    ("unsupported_media_type", 415, "Unsupported media type", "Send the Content-Type named in `detail`."),
    (
        "range_not_satisfiable",
        416,
        "Range not satisfiable",
        "`Content-Range` tells how long the file is; ask for a part of it.",
    ),
    ("idempotency_key_reused", 422, "Idempotency key reused", "Use a new Idempotency-Key for another request."),
    ("rate_limited", 429, "Too many requests", "Wait for the seconds in `Retry-After`."),
    ("headers_too_large", 431, "Headers too large", "Send fewer or shorter headers."),
    (
        "internal_error",
        500,
        "Internal error",
        "The fault is ours and has been recorded; quote `request_id` when you report it.",
    ),
    (
        "document_damaged",
        500,
        "Document damaged",
        "The stored document is not what was sent; reject the verification with that reason, and tell the operators.",
    ),
    ("not_supported", 501, "Not supported here", "This installation goes without it; its operator can add it."),
    (
        "schema_mismatch",
        503,
        "Database not migrated",
        "An operator has to bring the database to this release (`marketplace-admin db upgrade`); nothing was saved.",
    ),
    ("unavailable", 503, "Temporarily unavailable", "Try again after the seconds in `Retry-After`; nothing was saved."),
)


def problem(error: DomainError, request_id: str | None) -> tuple[int, dict[str, Any]]:
    """Status and JSON body for ``error``; ``type`` dereferences at ``/api/errors/{code}``."""
    entry = CODES[error.code]
    body: dict[str, Any] = {
        "type": f"/api/errors/{entry.code}",
        "title": entry.title,
        "status": entry.status,
        "detail": error.detail,
        "code": entry.code,
        "request_id": request_id,
        "errors": [field_error.asdict() for field_error in error.errors],
    }
    body |= {name: value for name, value in error.extra.items() if name not in body}
    if error.link:
        body["_links"] = {"related": {"href": error.link}}
    return entry.status, body
