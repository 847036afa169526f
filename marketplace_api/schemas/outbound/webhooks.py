"""What may come in about webhooks, and how their deliveries are asked for."""

from __future__ import annotations

from colander import SchemaNode, drop

from marketplace_api.domain.eventlog.event_patterns import PATTERNS
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.models.outbound.webhooks import DELIVERY_STATES, LONGEST_DESCRIPTION, LONGEST_URL, MOST_TYPES
from marketplace_api.schemas.base import Body, PageQuery
from marketplace_api.schemas.types import FromQuery, ListOf, OneOf, Text
from marketplace_api.schemas.web_address import WebAddress

READ_ONLY = frozenset(
    {
        "endpoint_id",
        "status",
        "disabled_reason",
        "failures",
        "failing_since",
        "previous_secret_until",
        "date_created",
        "date_updated",
    }
)
URL = WebAddress(LONGEST_URL, called=True)
_TYPES = ListOf(OneOf(PATTERNS), MOST_TYPES, 1, unique=True)
DESCRIPTION = Text(LONGEST_DESCRIPTION, 0)
_ABOUT_URL = "Where events are sent to, by POST; https in production, and an address of the public Internet."
_ABOUT_TYPES = "Types of events; `listing.*` is all of a subject, `*` is everything."


class MakeWebhook(Body):
    """An address and what it is told of."""

    url = SchemaNode(URL, title="Address", description=_ABOUT_URL)
    event_types = SchemaNode(_TYPES, title="Types of events", description=_ABOUT_TYPES)
    description = SchemaNode(DESCRIPTION, missing="", title="Description", description="For you.")


class EditWebhook(Body):
    """What to change; absent fields stay."""

    read_only = READ_ONLY
    url = SchemaNode(URL, missing=drop, title="Address", description=_ABOUT_URL)
    event_types = SchemaNode(_TYPES, missing=drop, title="Types of events", description=_ABOUT_TYPES)
    description = SchemaNode(DESCRIPTION, missing=drop, title="Description", description="For you.")


class ListWebhooks(PageQuery):
    """All endpoints, newest first."""


class ListDeliveries(PageQuery):
    """Deliveries of an endpoint, newest first; every parameter narrows."""

    status = SchemaNode(FromQuery(OneOf(DELIVERY_STATES)), missing=None, description="Only in this state.")
    type = SchemaNode(
        FromQuery(OneOf(tuple(kind.value for kind in EventType))), missing=None, description="Only events of this type."
    )
