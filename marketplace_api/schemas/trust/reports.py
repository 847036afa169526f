"""What may come in about reports, and how their queue is asked for."""

from __future__ import annotations

from typing import Any

import colander
from colander import SchemaNode

from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.models.trust.reports import LONGEST_COMMENT, REASONS, STATES, SUBJECT_TYPES
from marketplace_api.schemas.base import Body, PageQuery
from marketplace_api.schemas.types import (
    Boolean,
    FromQuery,
    Integer,
    InvalidField,
    ListOf,
    Nullable,
    OneOf,
    StrictType,
    Text,
)

_REASON = Text(2000, 3, lines=True)
_WITHOUT_WORDS = {
    "required": [],
    "properties": {"reason": {"enum": [reason for reason in REASONS if reason != "other"]}},
}
_IN_WORDS = {"required": ["comment"], "properties": {"reason": {"enum": ["other"]}, "comment": {"minLength": 1}}}


class MakeReport(Body):
    """What is wrong with a listing, a person, a message or a review."""

    together = {"oneOf": [_WITHOUT_WORDS, _IN_WORDS]}
    subject_type = SchemaNode(OneOf(SUBJECT_TYPES), title="What it is about")
    subject_id = SchemaNode(Integer(1), title="Its id")
    reason = SchemaNode(OneOf(REASONS), title="Reason")
    comment = SchemaNode(
        Text(LONGEST_COMMENT, 0, lines=True), missing="", title="Comment", description="Plain text; `other` needs it."
    )

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        if value["reason"] == "other" and not value["comment"]:
            problem = colander.Invalid(node)
            problem.add(InvalidField(node["comment"], "too_short", "Say what is wrong."))
            raise problem


class AssignReport(Body):
    """Who works on it."""

    assignee_id = SchemaNode(
        Nullable(Integer(1)), missing=None, title="Moderator", description="A user_id; you, without one."
    )


class _Decide(Body):
    also_same_subject = SchemaNode(
        Boolean(),
        missing=False,
        title="All of the same",
        description="The other undecided reports of the same subject too, 5,000 at a time.",
    )


class ResolveReport(_Decide):
    """What was done."""

    reason = SchemaNode(Nullable(_REASON), missing=None, title="Reason", description="Its reporter reads this.")


class DismissReport(_Decide):
    """Why nothing is to be done."""

    reason = SchemaNode(_REASON, title="Reason", description="Its reporter reads this.")


class Assignee(StrictType):
    """``me``, ``nobody`` or a user_id, as text."""

    def check(self, node: SchemaNode, value: Any) -> str | int:
        if value in ("me", "nobody"):
            return str(value)
        digits = isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit()
        if not digits or not 0 < int(value) <= BIGINT_MAX:
            raise InvalidField(node, "not_a_choice", "Send me, nobody or a user_id.")
        return int(value)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^(me|nobody|[1-9][0-9]{0,17})$"}


class ListReports(PageQuery):
    """The queue: open ones first, each state the oldest first."""

    status = SchemaNode(
        FromQuery(ListOf(OneOf(STATES), len(STATES), unique=True)), missing=(), description="Only these states."
    )
    subject_type = SchemaNode(FromQuery(OneOf(SUBJECT_TYPES)), missing=None, description="Only reports of these.")
    subject_id = SchemaNode(FromQuery(Integer(1)), missing=None, description="With `subject_type`: of this one only.")
    assigned = SchemaNode(FromQuery(Assignee()), missing=None, description="`me`, `nobody` or a moderator's user_id.")

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        if value["subject_id"] is not None and value["subject_type"] is None:
            problem = colander.Invalid(node)
            problem.add(InvalidField(node["subject_type"], "required", "Name the type of the subject too."))
            raise problem


class ListWaitingListings(PageQuery):
    """Listings that wait for verification, the longest waiting first."""
