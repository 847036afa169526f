"""Sending photos, shared by the tests of photos, of forms and of the files themselves."""

from __future__ import annotations

from typing import Any

from tests.factories.images import make_image
from tests.support.client import Client

PNG = make_image("PNG")


def path_of(row: Any) -> str:
    return f"/api/listings/{row.listing_id}/photos"


def add(client: Client, row: Any, file: Any = PNG, **fields: Any) -> Any:
    return client.request("POST", path_of(row), {"file": file, **fields})


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(error["name"], error["code"]) for error in answer.json["errors"]]
