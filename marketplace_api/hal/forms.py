"""HAL-FORMS ``_templates`` (https://rwcbook.github.io/hal-forms/), generated from the declared operations.

Beyond the specification a property that is an object has ``properties`` of its own, and one that is a list has
``multiple: true``; both carry their JSON as ``value``. They have no ``type``: clients may choke on one that is not HTML's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.affordances import Operation, allowed
from marketplace_api.resources.base import Context
from marketplace_api.schemas.describe import file_property, properties_of


def templates(
    context: Context, actor: Actor, values: Mapping[str, Any], only: Operation | None = None
) -> dict[str, Any]:
    """The operations (or the ``only`` one) that ``actor`` may run on ``context`` now; ``values`` fill the forms.

    A context with a single operation offers it as ``default`` too, the key that generic clients look for; not one of
    another context's that is only shown there, such as the log-out at the entry.
    """
    operations = [operation for operation in allowed(context, actor) if only is None or operation is only]
    forms = {operation.name: _template(operation, context, values) for operation in operations}
    if len(operations) == 1 and isinstance(context, operations[0].context):
        forms["default"] = next(iter(forms.values()))
    return forms


def _template(operation: Operation, context: Context, values: Mapping[str, Any]) -> dict[str, Any]:
    starts_full = operation.method in ("PUT", "PATCH")
    settled = operation.on(context).fills
    properties = []
    for described in _properties(operation):
        name = described["name"]
        if name not in settled:
            current = values.get(name) if starts_full else None
            properties.append(described if current is None else {**described, **_filled(described, current)})
        elif settled[name] is not None:
            properties.append({**described, "value": settled[name], "readOnly": True})
    return {
        "title": operation.title,
        "method": operation.method,
        "target": operation.target(context),
        "contentType": operation.content_types[0],
        "properties": properties,
    }


def _filled(described: dict[str, Any], current: Any) -> dict[str, Any]:
    if "properties" not in described:
        # Not as ``selectedValues``, which clients send back as the list that it is.
        return {"value": current}
    parts = [(part, current.get(part["name"])) for part in described["properties"]]
    return {
        "value": {part["name"]: value for part, value in parts if value is not None},
        "properties": [part if value is None else {**part, "value": value} for part, value in parts],
    }


@cache
def _properties(operation: Operation) -> tuple[dict[str, Any], ...]:
    fields = properties_of(operation.body) if operation.body is not None else []
    return (*([file_property(operation.upload)] if operation.upload is not None else []), *fields)
