"""Sends raw requests, and counts what they leave behind."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

import sqlalchemy as sa
from sqlalchemy.orm import Session
from webob import Response

from marketplace_api.database.base import Base
from tests.support.client import Client

GOOD = {"title": "Lamp", "description": "Bright.", "category": "furniture", "price": 5, "currency": "EUR"}


class World:
    """An owner with a listing, and the application to send things to."""

    def __init__(self, app: Any, owner: Client, listing_id: int) -> None:
        self.app, self.owner, self.listing_id = app, owner, listing_id
        self.path = f"/api/listings/{listing_id}"

    def send(self, method: str, path: str, body: bytes = b"", *, token: str | None = "", **environ: Any) -> Response:
        """One WSGI request as it comes from a server, without a client library that would tidy it up.

        ``token`` is the owner's by default, and nobody's when ``None``. A ``None`` in ``environ`` removes the key.
        """
        raw_path, _, query = path.partition("?")
        sent: dict[str, Any] = {}
        setup_testing_defaults(sent)
        sent |= {
            "REQUEST_METHOD": method,
            "PATH_INFO": _decoded(raw_path),
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        if body:
            sent["CONTENT_TYPE"] = "application/json"
        if token is not None:
            sent["HTTP_AUTHORIZATION"] = f"Bearer {token or self.owner.token}"
        sent |= {name.replace("wsgi_", "wsgi.", 1): value for name, value in environ.items()}
        return self._answer({name: value for name, value in sent.items() if value is not None})

    def _answer(self, environ: dict[str, Any]) -> Response:
        begun: dict[str, Any] = {}
        parts = self.app(environ, lambda status, headers, _error=None: begun.update(status=status, headers=headers))
        return Response(status=begun["status"], headerlist=begun["headers"], body=b"".join(parts))


def _decoded(path: str) -> str:
    """A path as WSGI servers hand it on: percent-decoded bytes as Latin-1, what cannot be decoded left as it is."""
    return unquote_to_bytes(path).decode("latin-1")


def rows(db: Session) -> dict[str, int]:
    """How many rows each of our tables has."""
    return {
        table.name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in Base.metadata.sorted_tables
    }
