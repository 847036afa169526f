"""The errors that more than one gateway raises; :mod:`marketplace_api.errors` has those that callers of the API get."""

from __future__ import annotations


class PermanentDeliveryError(Exception):
    """The provider will never take this message; sending it again is useless. Names no recipient."""
