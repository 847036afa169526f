"""JSON Schemas (2020-12) of what goes out, each under the ``result`` that operations name.

Documents that have only one form stand in :data:`DOCUMENTS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON
from marketplace_api.hal.shapes import (
    accounts,
    api_root,
    community,
    devices,
    integrations,
    listings,
    mail,
    moderated_messages,
    moderation,
    notifications,
    stream_tickets,
    verifications,
    webhooks,
)
from marketplace_api.hal.shapes.base import LINK, TEMPLATE, TEMPLATE_PROPERTY, Schema, Shape
from marketplace_api.hal.shapes.documents import DOCUMENTS

__all__ = ["DOCUMENTS", "SHAPES", "component_name", "components", "is_sparse"]

SHAPES: Mapping[str, Shape] = {
    **listings.SHAPES,
    **community.SHAPES,
    **accounts.SHAPES,
    **notifications.SHAPES,
    **devices.SHAPES,
    **verifications.SHAPES,
    **moderation.SHAPES,
    **moderated_messages.SHAPES,
    **integrations.SHAPES,
    **webhooks.SHAPES,
    **stream_tickets.SHAPES,
    **api_root.SHAPES,
    **mail.SHAPES,
}

_VARIANTS = {JSON: "", HAL: ".hal", HAL_FORMS: ".forms"}


def component_name(shape: str, media: str, sparse: bool = False) -> str:
    """The name under ``components/schemas`` of a shape in ``media``."""
    part = ".part" if sparse and is_sparse(shape) else ""
    return f"{shape}{part}{_VARIANTS[media]}"


def is_sparse(shape: str) -> bool:
    """Whether ``fields`` can leave out parts of it, or of the items that it lists."""
    own = SHAPES[shape]
    return own.key is not None or any(part.many and SHAPES[part.shape].key for part in own.embedded.values())


def components() -> dict[str, Schema]:
    """Every schema by component name."""
    found: Schema = {"Link": LINK, "Template": TEMPLATE, "TemplateProperty": TEMPLATE_PROPERTY}
    for name, shape in SHAPES.items():
        for media in _VARIANTS:
            found[component_name(name, media)] = shape.schema(media, component_name)
            if is_sparse(name):
                found[component_name(name, media, sparse=True)] = shape.schema(media, component_name, sparse=True)
    return found | dict(DOCUMENTS)
