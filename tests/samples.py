"""Plausible input for any form, made from its own description."""

from __future__ import annotations

from typing import Any

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
    "status": "active",
}


def fill(template: dict[str, Any]) -> dict[str, Any]:
    """A body for a HAL-FORMS template: every required field, and the current values of the others."""
    body = {}
    for described in template["properties"]:
        name = described["name"]
        if "value" in described:
            body[name] = described["value"]
        elif described["required"]:
            body[name] = VALUES.get(name, "some text")
    return body
