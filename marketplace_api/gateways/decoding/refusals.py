"""The refusal of a file: raised where it is decoded, and again where it was sent."""

from __future__ import annotations

from marketplace_api.errors import FieldError, Invalid


def refused(code: str, message: str) -> Invalid:
    """The error for a file that can never be taken."""
    return Invalid(f"file: {message}", code="invalid_file", errors=[FieldError("body", "file", code, message)])
