"""Schemas told to others: as JSON Schema for OpenAPI, as properties for HAL-FORMS."""

from __future__ import annotations

from typing import Any

import colander

from marketplace_api.schemas.base import HYPERMEDIA, ObjectType
from marketplace_api.schemas.types import Boolean, Email, Integer, ListOf, Nullable, Number, OneOf, Text
from marketplace_api.schemas.uploads import FILE, UploadForm
from marketplace_api.schemas.web_address import WebAddress


def json_schema(node: colander.SchemaNode) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a field or an object.

    It describes values as they are kept: text is stripped before its length is measured, and what it says of decimals
    leaves out how many places they may have, for validators that calculate in binary would refuse 19.99.
    """
    inner = node.typ.inner if isinstance(node.typ, Nullable) else node.typ
    schema = _object(node) if isinstance(inner, ObjectType) else dict(node.typ.json_schema())
    if node.title and node.title.replace(" ", "_").lower() != node.name:
        schema["title"] = node.title
    if node.description:
        schema["description"] = node.description
    if isinstance(node.missing, str | int):
        schema["default"] = node.missing
    return schema


def _object(node: colander.SchemaNode) -> dict[str, Any]:
    """Known fields only, but for those that are ignored so that a representation can be sent back."""
    ignored = sorted(getattr(node, "read_only", ()))
    schema: dict[str, Any] = {
        "type": ["object", "null"] if isinstance(node.typ, Nullable) else "object",
        "properties": {
            **{child.name: json_schema(child) for child in node.children},
            **{name: {"readOnly": True} for name in ignored},
        },
        "patternProperties": {f"^(?:{'|'.join(sorted(HYPERMEDIA))})$": {"readOnly": True}},
        "additionalProperties": False,
        **getattr(node, "together", {}),
    }
    required = [child.name for child in node.children if child.required]
    return {**schema, "required": required} if required else schema


def properties_of(node: colander.SchemaNode) -> list[dict[str, Any]]:
    """The fields of an object as HAL-FORMS properties, without current values."""
    return [_property(child) for child in node.children]


def file_property(form: UploadForm) -> dict[str, Any]:
    """The file of a form as a HAL-FORMS property, the input of HTML that takes one."""
    described = {"name": FILE, "prompt": form.title, "required": True, "type": "file", "accept": ",".join(form.accepts)}
    return {**described, "placeholder": form.description} if form.description else described


def form_schema(form: UploadForm, body: colander.SchemaNode) -> dict[str, Any]:
    """The JSON Schema of a form with a file, as OpenAPI describes one."""
    schema = json_schema(body)
    file = {
        "type": "string",
        "format": "binary",
        "title": form.title,
        "description": f"{form.description} One of: {', '.join(form.accepts)}.".strip(),
    }
    properties = {FILE: file, **schema.get("properties", {})}
    return {
        "type": "object",
        "properties": properties,
        "required": [FILE, *schema.get("required", ())],
        "additionalProperties": False,
    }


def _property(node: colander.SchemaNode) -> dict[str, Any]:
    typ = node.typ.inner if isinstance(node.typ, Nullable) else node.typ
    described: dict[str, Any] = {"name": node.name, "prompt": node.title or node.name, "required": bool(node.required)}
    if node.description:
        described["placeholder"] = node.description
    if node.children:
        described |= {"properties": properties_of(node)}
    else:
        described |= _input(typ, required=bool(node.required))
        if isinstance(node.missing, str | int) and node.missing != "":
            described["value"] = node.missing
    return described


def _input(typ: Any, *, required: bool) -> dict[str, Any]:
    """The HTML input type and limits of a field's type."""
    match typ:
        case OneOf():
            return {"options": {"inline": list(typ.choices), "minItems": int(required), "maxItems": 1}}
        case ListOf():
            fewest = {"minItems": typ.minimum} if typ.minimum else {}
            return {"multiple": True, **fewest, "maxItems": typ.maximum}
        case Text():
            pattern = {"regex": typ.pattern} if typ.pattern else {}
            return {"type": _kind_of_text(typ), "minLength": typ.minimum, "maxLength": typ.maximum, **pattern}
        case Number():
            return {
                "type": "number",
                "min": float(typ.minimum),
                "max": float(typ.maximum),
                "step": float(10**-typ.places),
            }
        case Integer():
            return {"type": "number", "min": typ.minimum, "max": typ.maximum, "step": 1}
        case Boolean():
            return {"type": "checkbox"}
    return {"type": "text"}


def _kind_of_text(typ: Text) -> str:
    match typ:
        case Email():
            return "email"
        case WebAddress():
            return "url"
    return "password" if typ.secret else "textarea" if typ.lines else "text"
