"""Reports, the moderators' queues, accounts as moderators see them, and the event log."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.accounts import PUBLIC_USER
from marketplace_api.hal.shapes.base import (
    COUNT,
    FLAG,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    TEXTS,
    Embedded,
    Schema,
    Shape,
    exactly,
)
from marketplace_api.models.identity.accounts import STATES as ACCOUNT_STATES
from marketplace_api.models.trust.reports import REASONS, STATES, SUBJECT_TYPES

_OPTIONAL_ID: Schema = {"type": ["integer", "null"], "minimum": 1}
_VALUES: Schema = {"type": "object"}

_TOLD: Mapping[str, Schema] = {
    "report_id": IDENTIFIER,
    "subject_type": {"type": "string", "enum": list(SUBJECT_TYPES)},
    "subject_id": IDENTIFIER,
    "reason": {"type": "string", "enum": list(REASONS)},
    "comment": TEXT,
    "status": {"type": "string", "enum": list(STATES)},
    "decision_reason": {**OPTIONAL_TEXT, "description": "What the moderator says to the decision."},
    "date_created": MOMENT,
    "date_updated": MOMENT,
    "date_decided": OPTIONAL_MOMENT,
}
_REPORT: Mapping[str, Schema] = {
    **_TOLD,
    "reporter_id": {**_OPTIONAL_ID, "description": "null once that account is erased."},
    "reporter_username": OPTIONAL_TEXT,
    "reported_id": IDENTIFIER,
    "reported_username": TEXT,
    "assignee_id": _OPTIONAL_ID,
    "assignee_username": OPTIONAL_TEXT,
    "subject": exactly(
        {
            "title": {**OPTIONAL_TEXT, "description": "A listing's title, a person's name, how a review begins."},
            "status": TEXT,
            "content": {**OPTIONAL_TEXT, "description": "A message, for whom the report is assigned to."},
            "report_count": {
                **COUNT,
                "maximum": 1_000,
                "description": "Reports of the same, counted up to the maximum.",
            },
        }
    ),
    "also_decided": {**COUNT, "description": "Other reports of the same subject that were decided with it."},
}
_EVENT: Mapping[str, Schema] = {
    "event_id": IDENTIFIER,
    "type": TEXT,
    "actor_id": _OPTIONAL_ID,
    "actor_name": {**OPTIONAL_TEXT, "description": "Who acted without an account: an operator, a job."},
    "on_behalf_of_id": _OPTIONAL_ID,
    "subject_type": TEXT,
    "subject_id": _OPTIONAL_ID,
    "previous": {"type": ["object", "null"]},
    "new": _VALUES,
    "reason": OPTIONAL_TEXT,
    "request_id": OPTIONAL_TEXT,
    "date_created": MOMENT,
}

SHAPES: Mapping[str, Shape] = {
    "own_report": Shape(_TOLD, ("self", "up")),
    "report": Shape(_REPORT, ("self", "collection", "mkt:reported", "mkt:reports"), frozenset({"also_decided"})),
    "reports": Shape(PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"reports": Embedded("report")}),
    "queue": Shape({"name": TEXT, "title": TEXT, "count": {**COUNT, "maximum": 10_000}, "is_capped": FLAG}),
    "moderation": Shape({}, ("self", "up"), embedded={"queues": Embedded("queue")}),
    "account": Shape(
        {
            **PUBLIC_USER,
            "is_email_confirmed": FLAG,
            "roles": TEXTS,
            "email": {**OPTIONAL_TEXT, "description": "In full for admins; for others what suffices to compare it."},
            "state": {"type": "string", "enum": list(ACCOUNT_STATES)},
            "state_reason": OPTIONAL_TEXT,
            "suspended_until": OPTIONAL_MOMENT,
            "last_login": OPTIONAL_MOMENT,
            "deactivated_at": OPTIONAL_MOMENT,
        },
        ("self", "collection"),
    ),
    "accounts": Shape(PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"users": Embedded("account")}),
    "event": Shape(_EVENT, ("self", "collection")),
    "events": Shape(PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"events": Embedded("event")}),
}
