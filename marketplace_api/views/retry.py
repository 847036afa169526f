"""How often a request may run. What changes data runs again after a serialization failure, so its body must be readable
again; safe requests run once.
"""

from __future__ import annotations

import io
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.router import Router
from pyramid_retry import RetryableExecutionPolicy

from marketplace_api.schemas.uploads import MULTIPART
from marketplace_api.views.request_properties import SAFE


def attempts_of(request: Request) -> int | None:
    """Pyramid_retry's hook for what may change data: ``None`` for the usual number, 1 for a form with a file.

    Left to itself it would read every body to its end, however long, before anybody could object. A form with a file
    runs once: to remember the file would cost its size a second time, and a disk must not see every one of them.
    """
    environ = request.environ
    length = request.content_length
    if length is None and not environ.get("wsgi.input_terminated"):
        length = 0  # nobody says where it would end
    once = environ.get("CONTENT_TYPE", "").lower().startswith(MULTIPART)
    body = Body(environ["wsgi.input"], length, remembers=not once)
    environ["wsgi.input"] = io.BufferedReader(body)
    environ["webob.is_body_seekable"] = not once
    return 1 if once else None


ATTEMPTS = 3
_retried = RetryableExecutionPolicy(ATTEMPTS, activate_hook=attempts_of)


def execute(environ: dict[str, Any], router: Router) -> Response:
    """Pyramid's execution policy: what pyramid_retry keeps account of would be 2 % of a cheap safe request."""
    if environ["REQUEST_METHOD"] not in SAFE:
        return _retried(environ, router)
    context = router.request_context(environ)
    request = context.begin()
    try:
        return router.invoke_request(request)
    finally:
        context.end()


def includeme(config: Configurator) -> None:
    config.set_execution_policy(execute)


class Body(io.RawIOBase):
    """A body of ``length`` bytes (``None``: to its end), read as far as somebody asks and, where it ``remembers``, kept
    from there."""

    def __init__(self, source: Any, length: int | None, *, remembers: bool = True) -> None:
        self._source, self._left, self._remembers = source, length, remembers
        self._seen = bytearray()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._remembers

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("the end is not known")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if not self._remembers:
            self._seen.clear()
            self._position = 0
        self._fetch(self._position + len(buffer) - len(self._seen))
        part = self._seen[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _fetch(self, wanted: int) -> None:
        if self._left is not None:
            wanted = min(wanted, self._left)
        if wanted <= 0:
            return
        part = self._source.read(wanted)
        self._seen += part
        if self._left is not None:
            self._left -= len(part)
