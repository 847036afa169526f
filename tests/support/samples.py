"""Plausible input for any form, made from its own description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from marketplace_api.schemas.uploads import UploadForm
from tests.factories.images import make_image
from tests.factories.videos import make_video

VIDEO = make_video(seconds=1)
VALUES: dict[str, Any] = {
    "username": "somebody.new",
    "email": "somebody.new@people.example",
    "password": "correct horse battery",
    "currentPassword": "correct horse battery",
    "newPassword": "another long passphrase 7",
    "title": "Garden chair",
    "category": "furniture",
    "currency": "EUR",
    "price": 12.5,
    "reason": "It breaks a rule.",
    "rating": 4,
    "comment": "As described.",
    "reply": "Thank you.",
    "status": "active",
    "file": make_image("PNG"),
    "photos": [],
    "document_type": "passport",
    "subject_type": "listing",
    "subject_id": 1,
    "roles": ["customer"],
    "scopes": ["events:read"],
    "phone": "+12025550123",
    "code": "123456",
    "url": "https://shop.example/hook",
    "event_types": ["listing.created"],
    "endpoint": "https://push.example.net/send/1",
    "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    },
}


def sample_of(upload: UploadForm) -> bytes:
    """A file that an operation takes."""
    return VIDEO if "video/mp4" in upload.accepts else VALUES["file"]


def sample(body: Any) -> dict[str, Any]:
    """The required fields of a body's schema, each with a value that it takes."""
    return {
        child.name: _fitting(child.name, getattr(child.typ, "choices", ())) for child in body.children if child.required
    }


def _fitting(name: str, choices: Sequence[str]) -> Any:
    value = VALUES.get(name, "some text")
    return value if not choices or value in choices else choices[0]


def fill(template: dict[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """A body for a HAL-FORMS template: every required field, and the current values of the others.

    ``known`` are ids that lead somewhere, by field.
    """
    body = {}
    for described in template["properties"]:
        name = described["name"]
        if "value" in described:
            body[name] = described["value"]
        elif "video/mp4" in described.get("accept", ""):
            body[name] = VIDEO
        elif described["required"]:
            choices = described.get("options", {}).get("inline", ())
            body[name] = known.get(name, _fitting(name, choices))
    return body
