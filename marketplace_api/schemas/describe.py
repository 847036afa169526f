"""Schemas told to others: as JSON Schema for OpenAPI, as properties for HAL-FORMS."""

from __future__ import annotations

from typing import Any

import colander

from marketplace_api.schemas.types import Boolean, Email, Integer, ListOf, Nullable, Number, OneOf, Text, WebAddress


def json_schema(node: colander.SchemaNode) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a field or an object."""
    typ = node.typ
    inner = typ.inner if isinstance(typ, Nullable) else typ
    if node.children:
        schema: dict[str, Any] = {
            "type": ["object", "null"] if isinstance(typ, Nullable) else "object",
            "properties": {child.name: json_schema(child) for child in node.children},
            "additionalProperties": False,
        }
        required = [child.name for child in node.children if child.required]
        if required:
            schema["required"] = required
    else:
        schema = dict(typ.json_schema()) if hasattr(inner, "json_schema") else {}
    if node.title and node.title.replace(" ", "_").lower() != node.name:
        schema["title"] = node.title
    if node.description:
        schema["description"] = node.description
    return schema


def properties_of(node: colander.SchemaNode) -> list[dict[str, Any]]:
    """The fields of an object as HAL-FORMS properties, without current values."""
    return [_property(child) for child in node.children]


def _property(node: colander.SchemaNode) -> dict[str, Any]:
    typ = node.typ.inner if isinstance(node.typ, Nullable) else node.typ
    described: dict[str, Any] = {"name": node.name, "prompt": node.title or node.name, "required": bool(node.required)}
    if node.description:
        described["placeholder"] = node.description
    if node.children:
        described |= {"type": "object", "properties": properties_of(node)}
    else:
        described |= _input(typ)
    return described


def _input(typ: Any) -> dict[str, Any]:
    """The HTML input type and limits of a field's type."""
    match typ:
        case OneOf():
            return {"options": {"inline": list(typ.choices), "minItems": 0, "maxItems": 1}}
        case ListOf():
            return {"type": "list", "maxItems": typ.maximum}
        case Email():
            return {"type": "email", "maxLength": typ.maximum}
        case WebAddress():
            return {"type": "url", "maxLength": typ.maximum}
        case Text():
            pattern = {"regex": typ.pattern} if typ.pattern else {}
            kind = "password" if typ.secret else "textarea" if typ.maximum > 500 else "text"
            return {"type": kind, "minLength": typ.minimum, "maxLength": typ.maximum, **pattern}
        case Number():
            return {"type": "number", "min": float(typ.minimum), "max": float(typ.maximum), "step": float(10**-typ.places)}
        case Integer():
            return {"type": "number", "min": typ.minimum, "max": typ.maximum, "step": 1}
        case Boolean():
            return {"type": "checkbox"}
    return {"type": "text"}
