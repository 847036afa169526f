"""What may come in about photos."""

from __future__ import annotations

from typing import Any

import colander
from colander import SchemaNode, drop

from marketplace_api.gateways.images import ACCEPTED, megapixels
from marketplace_api.models.catalog.photos import LONGEST_ALT_TEXT, MOST_PHOTOS
from marketplace_api.schemas.base import Body, ObjectType
from marketplace_api.schemas.types import Integer, ListOf, StrictType, Text
from marketplace_api.schemas.uploads import UploadForm

PHOTO = UploadForm(
    ACCEPTED,
    "photo_limit",
    title="Photo",
    description="What it shows counts, not what it is called.",
    megapixels=megapixels,
)


class AddPhoto(Body):
    """What comes along with a photo."""

    alt_text = SchemaNode(
        Text(LONGEST_ALT_TEXT, 0), missing="", title="Description", description="For those who cannot see the photo."
    )


class _Entry(SchemaNode):
    """A photo at its place. Its representation may be sent back, so what cannot be changed is ignored."""

    schema_type = ObjectType
    read_only = frozenset({"width", "height", "urls"})
    photo_id = SchemaNode(Integer(1))
    alt_text = SchemaNode(Text(LONGEST_ALT_TEXT, 0), missing=drop)


class _Place(StrictType):
    def __init__(self) -> None:
        self.entry = _Entry()

    def check(self, node: SchemaNode, value: Any) -> tuple[int, str | None]:
        try:
            found = self.entry.deserialize(value)
        except colander.Invalid as problem:
            problem.node = node  # errors name the place in the list
            raise
        return found["photo_id"], found.get("alt_text")

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["photo_id"],
            "additionalProperties": False,
            "properties": {
                **{child.name: child.typ.json_schema() for child in self.entry.children},
                **{name: {"readOnly": True} for name in ("width", "height", "urls", "_links")},
            },
        }


class ArrangePhotos(Body):
    """All photos of the listing in the order that they shall have."""

    photos = SchemaNode(
        ListOf(_Place(), MOST_PHOTOS),
        title="Photos",
        description="Each with its photo_id, and alt_text where it changes.",
    )
