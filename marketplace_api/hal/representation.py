"""One representation, three serialisations: plain JSON, HAL (draft-kelly-json-hal) and HAL-FORMS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.affordances import Operation
from marketplace_api.hal.forms import templates
from marketplace_api.resources.base import Context

JSON = "application/json"
HAL = "application/hal+json"
HAL_FORMS = "application/prs.hal-forms+json"
MERGE_PATCH = "application/merge-patch+json"

CURIES = [{"name": "mkt", "href": "/api/rels/{rel}", "templated": True}]

Link = dict[str, Any]
Links = dict[str, Any]
"""Relation to a :data:`Link`, or to a list of them."""


@dataclass(slots=True)
class Representation:
    """What is said about a resource.

    ``embedded`` holds further representations by name: plain JSON shows them as fields, HAL under ``_embedded``.
    ``context`` decides which operations are offered; ``values`` are the current values that forms start from.
    ``only`` narrows them to one. ``version`` is the row's version where there is one: ``If-Match`` is held against it.
    ``is_repeat`` tells that the operation found everything as it should be.
    """

    state: dict[str, Any]
    links: Links
    embedded: Mapping[str, Representation | list[Representation]] = field(default_factory=dict)
    context: Context | None = None
    values: Mapping[str, Any] | None = None
    version: int | None = None
    last_modified: datetime | None = None
    is_public: bool = False
    paging: Mapping[str, str] | None = None
    only: Operation | None = None
    is_repeat: bool = False

    def render(self, media: str, actor: Actor) -> dict[str, Any]:
        """The JSON-ready document in ``media``, one of :data:`JSON`, :data:`HAL`, :data:`HAL_FORMS`."""
        if media == JSON:
            return self._plain()
        document = self._hal(actor, with_forms=media == HAL_FORMS)
        document["_links"]["curies"] = CURIES
        return document

    def _plain(self) -> dict[str, Any]:
        document = self.state
        for name, child in self.embedded.items():
            document[name] = [item._plain() for item in child] if isinstance(child, list) else child._plain()
        document["_links"] = self.links
        return document

    def _hal(self, actor: Actor, *, with_forms: bool) -> dict[str, Any]:
        document = {**self.state, "_links": dict(self.links)}
        if self.embedded:
            document["_embedded"] = {
                name: [item._hal(actor, with_forms=with_forms) for item in child]
                if isinstance(child, list)
                else child._hal(actor, with_forms=with_forms)
                for name, child in self.embedded.items()
            }
        if with_forms:
            values = self.values or self.state
            document["_templates"] = templates(self.context, actor, values, self.only) if self.context else {}
        return document


def link(href: str, **attributes: Any) -> Link:
    """A link object; attributes such as ``title`` or ``templated`` go along."""
    return {"href": href, **attributes}


def message(text: str, up: str) -> Representation:
    """The answer of an operation that has nothing to show but that it was done."""
    return Representation({"message": text}, {"up": link(up)})


def form(context: Context, operation: Operation) -> Representation:
    """The page of an address that only takes a POST: what to send there."""
    links: Links = {"self": link(operation.target(context)), "up": link("/api")}
    state = {"title": operation.title, "method": operation.method}
    return Representation(state, links, context=context, only=operation, is_public=True)
