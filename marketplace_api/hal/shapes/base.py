"""What response schemas are made of.

A :class:`Shape` says what a representation holds; its three serialisations follow from it, as they do for the
representation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marketplace_api.hal.representation import HAL_FORMS, JSON

Schema = dict[str, Any]

# The name under ``components/schemas`` of a shape, given the media type and whether parts may be left out.
Naming = Callable[[str, str, bool], str]

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
IDENTIFIER: Schema = {"type": "integer", "minimum": 1}
MOMENT: Schema = {"type": "string", "format": "date-time"}
OPTIONAL_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
AVERAGE: Schema = {"type": ["number", "null"], "minimum": 1, "maximum": 5}


PAGE: Mapping[str, Schema] = {
    "totalPages": COUNT,
    "currentPage": IDENTIFIER,
    "totalItems": {**COUNT, "maximum": 10_000},
    "totalIsCapped": {"const": True, "description": "There are more matches than `totalItems` says."},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of representation holds.

    ``sometimes`` names the ``state`` fields that only some callers or requests see. ``links`` are relations
    that are always there. ``embedded`` tells what is inside, by name. ``key`` is the field that stays when
    ``fields`` asks for few; without it ``fields`` leaves out nothing of the shape itself.
    """

    state: Mapping[str, Schema]
    links: tuple[str, ...] = ("self",)
    sometimes: frozenset[str] = frozenset()
    embedded: Mapping[str, Embedded] = field(default_factory=dict)
    key: str | None = None

    def schema(self, media: str, component: Naming, *, sparse: bool = False) -> Schema:
        """How it looks in ``media``; ``sparse`` allows every field but the key to be left out."""
        inside = {name: part.schema(media, component, sparse=sparse) for name, part in self.embedded.items()}
        needed = [name for name, part in self.embedded.items() if part.always]
        properties: Schema = {**self.state, "_links": _links(self.links)}
        required = [*self._always(sparse=sparse), "_links"]
        if media == JSON:
            return closed(properties | inside, required + needed)
        if inside:
            properties["_embedded"] = closed(inside, needed)
            required += ["_embedded"] if needed else []
        if media == HAL_FORMS:
            properties["_templates"] = {"type": "object", "additionalProperties": ref("Template")}
            required.append("_templates")
        return closed(properties, required)

    def _always(self, *, sparse: bool) -> list[str]:
        if sparse and self.key is not None:
            return [self.key]
        return [name for name in self.state if name not in self.sometimes]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A representation of the shape called ``shape`` inside another, or a list of them."""

    shape: str
    many: bool = True
    always: bool = True

    def schema(self, media: str, component: Naming, *, sparse: bool) -> Schema:
        # Only what a list is about can be asked for in part; related resources come whole.
        item = ref(component(self.shape, media, sparse and self.many))
        return {"type": "array", "items": item} if self.many else item


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    """An object of exactly these properties."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def exactly(properties: Mapping[str, Schema]) -> Schema:
    return closed(properties, list(properties))


def _links(required: tuple[str, ...]) -> Schema:
    link = {"anyOf": [ref("Link"), {"type": "array", "items": ref("Link")}]}
    return {"type": "object", "required": list(required), "additionalProperties": link}


LINK = closed({"href": TEXT, "title": TEXT, "templated": FLAG, "type": TEXT, "name": TEXT}, ["href"])
TEMPLATE_PROPERTY = {
    "type": "object",
    "description": "A field of the form (HAL-FORMS); `properties` describe an object's own fields.",
    "properties": {
        "name": TEXT,
        "prompt": TEXT,
        "required": FLAG,
        "type": TEXT,
        "properties": {"type": "array", "items": ref("TemplateProperty")},
    },
    "required": ["name", "prompt", "required"],
}
TEMPLATE = exactly(
    {
        "title": TEXT,
        "method": {"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"]},
        "target": TEXT,
        "contentType": TEXT,
        "properties": {"type": "array", "items": ref("TemplateProperty")},
    }
)
