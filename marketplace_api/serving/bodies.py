"""Receiving bodies in the event loop, where a slow one holds no thread: how large, how slow, how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from marketplace_api.config.settings import Settings
from marketplace_api.errors import DomainError, Unauthenticated, Unavailable
from marketplace_api.serving.spool import Spool

GRACE = 10  # seconds before the least rate counts: connections take a while to become fast
FORM = b"multipart/form-data"
BESIDE_FILES = 64 * 1024  # bytes of a form beside its file, as `views/uploads.py` has it
WAITING = 10  # so many of the largest bodies may wait in a process

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BrokenBodyError(Exception):
    """The body ended before its end: the client is gone, or what it sends is none."""


@dataclass(frozen=True, slots=True)
class BodyRules:
    """What bodies have to keep to; sizes in bytes, times in seconds."""

    timeout: float
    minimum_rate: int
    limit: int
    upload_limit: int

    @classmethod
    def from_settings(cls, settings: Settings) -> BodyRules:
        largest = max(settings.photo_limit, settings.video_limit, settings.document_limit)
        upload_limit = max(largest + BESIDE_FILES, settings.body_limit)
        return cls(settings.body_timeout, settings.body_minimum_rate, settings.body_limit, upload_limit)

    def limit_for(self, headers: Mapping[bytes, bytes]) -> int:
        """How large the body of a request with these headers may be.

        More than that of JSON is for people with an account only: nobody else has anything to upload.
        """
        is_upload = headers.get(b"content-type", b"").lower().startswith(FORM) and b"authorization" in headers
        return self.upload_limit if is_upload else self.limit

    def deadline(self, received: int) -> float:
        """When, in seconds after its beginning, a body of which so much is there is too slow."""
        return min(self.timeout, GRACE + received / self.minimum_rate)


class Bodies:
    """Receives bodies for one process. All of it runs in the event loop."""

    def __init__(self, rules: BodyRules) -> None:
        self._rules = rules
        self._waiting = 0  # bytes

    async def receive(self, receive: Receive, headers: Mapping[bytes, bytes]) -> Spool:
        """The whole body; whoever gets it says :meth:`release` when it is done with.

        Raises DomainError (``body_too_large``, ``request_timeout``), Unauthenticated where only people with an account
        may send as much, Unavailable where too much waits already, and BrokenBodyError.
        """
        limit = self._rules.limit_for(headers)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise BrokenBodyError
        if int(declared) > limit:
            raise self._too_large(headers, limit)
        spool = Spool()
        try:
            await self._fill(spool, receive, headers, limit)
        except BaseException:
            self.release(spool)
            raise
        return spool

    def release(self, spool: Spool) -> None:
        """Forget the body."""
        self._waiting -= spool.size
        spool.close()

    async def _fill(self, spool: Spool, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> None:
        began = asyncio.get_running_loop().time()
        more = True
        while more:
            try:
                async with asyncio.timeout_at(began + self._rules.deadline(spool.size)):
                    message = await receive()
            except TimeoutError:
                raise DomainError(
                    f"The body came too slowly: {spool.size} bytes of it are here.", code="request_timeout"
                ) from None
            if message["type"] != "http.request":
                raise BrokenBodyError
            data: bytes = message.get("body", b"")
            more = bool(message.get("more_body", False))
            if spool.size + len(data) > limit:
                raise self._too_large(headers, limit)
            self._take(spool, data)

    def _take(self, spool: Spool, data: bytes) -> None:
        if self._waiting + len(data) > WAITING * self._rules.upload_limit:
            raise Unavailable("Too many large requests wait already; nothing was saved.", retry_after=30)
        self._waiting += len(data)
        try:
            spool.write(data)
        except OSError as error:
            told = f"There is no room for the request ({error.strerror}); nothing was saved."
            raise Unavailable(told, retry_after=30) from error

    def _too_large(self, headers: Mapping[bytes, bytes], limit: int) -> DomainError:
        if headers.get(b"content-type", b"").lower().startswith(FORM) and b"authorization" not in headers:
            return Unauthenticated("Log in first: sending files needs an account.")
        return DomainError(f"The body may have {limit} bytes at most.", code="body_too_large")
