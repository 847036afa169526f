"""Accounts, sessions and what logging in gives."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import (
    AVERAGE,
    COUNT,
    FLAG,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    TEXTS,
    Embedded,
    Schema,
    Shape,
)

PUBLIC_USER: Mapping[str, Schema] = {
    "user_id": IDENTIFIER,
    "username": TEXT,
    "profile_picture_url": OPTIONAL_TEXT,
    "bio": OPTIONAL_TEXT,
    "date_joined": MOMENT,
    "is_verified": FLAG,
    "rating_average": AVERAGE,
    "rating_count": COUNT,
}

SHAPES: Mapping[str, Shape] = {
    "user": Shape(PUBLIC_USER, key="user_id"),
    "me": Shape(
        {
            **PUBLIC_USER,
            "email": TEXT,
            "pending_email": OPTIONAL_TEXT,
            "is_email_confirmed": FLAG,
            "email_problem": {**OPTIONAL_TEXT, "description": "What is wrong with the address, and what to do."},
            "last_login": OPTIONAL_MOMENT,
            "roles": TEXTS,
            "contact_information": {"type": "object", "additionalProperties": TEXT},
            "state": {"type": "string", "enum": ["active", "suspended"]},
            "state_reason": {**OPTIONAL_TEXT, "description": "Why a moderator suspended the account."},
            "suspended_until": {**OPTIONAL_MOMENT, "description": "null while that is open, or the account active."},
        },
        ("self", "mkt:profile"),
        key="user_id",
    ),
    "token_pair": Shape(
        {
            "user_id": IDENTIFIER,
            "username": TEXT,
            "email": TEXT,
            "token": TEXT,
            "refresh_token": TEXT,
            "token_type": TEXT,
            "expires_in": {**IDENTIFIER, "description": "Seconds."},
        }
    ),
    "session": Shape(
        {
            "session_id": IDENTIFIER,
            "device": TEXT,
            "address": TEXT,
            "date_created": MOMENT,
            "last_used": MOMENT,
            "expires_at": MOMENT,
            "current": FLAG,
        }
    ),
    "sessions": Shape(PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"sessions": Embedded("session")}),
}
