"""How the event log is asked for."""

from __future__ import annotations

from typing import Any

import colander
from colander import SchemaNode

from marketplace_api.domain.kernel.events import EventType
from marketplace_api.schemas.base import PageQuery
from marketplace_api.schemas.types import FromQuery, Integer, InvalidField, Moment, OneOf

TYPES = tuple(kind.value for kind in EventType)
SUBJECTS = tuple(dict.fromkeys(kind.partition(".")[0] for kind in TYPES))


class ListEvents(PageQuery):
    """Events, newest first; every parameter narrows."""

    subject_type = SchemaNode(FromQuery(OneOf(SUBJECTS)), missing=None, description="With `subject_id`: about this.")
    subject_id = SchemaNode(FromQuery(Integer(1)), missing=None, description="With `subject_type`: about this.")
    actor_id = SchemaNode(FromQuery(Integer(1)), missing=None, description="Caused by this account.")
    type = SchemaNode(FromQuery(OneOf(TYPES)), missing=None, description="Only of this type.")
    since = SchemaNode(FromQuery(Moment()), missing=None, description="At this time or later.")
    until = SchemaNode(FromQuery(Moment()), missing=None, description="Before this time.")

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        names = ("subject_type", "subject_id")
        missing = [name for name in names if value[name] is None]
        if len(missing) == 1:
            problem = colander.Invalid(node)
            problem.add(InvalidField(node[missing[0]], "required", "Name type and id of the subject together."))
            raise problem
