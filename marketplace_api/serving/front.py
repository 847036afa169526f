"""The front of a process of the API: it decides when a request is given a thread, and none waits in one for a client.

A request without a body goes from the server's own thread straight to the pool of threads that run the application.
One with a body is received in the event loop first. What the application returns piece by piece is sent by the event
loop, which borrows a thread for each piece. `/healthz` has a thread of its own.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

from marketplace_api.errors import DomainError, Invalid, Unavailable
from marketplace_api.serving.bodies import Bodies, BodyRules, BrokenBodyError, Receive
from marketplace_api.serving.environ import make_environ
from marketplace_api.serving.spool import Spool
from marketplace_api.views.middleware import REFUSED

log = logging.getLogger(__name__)

ALIVE, READY = b"/healthz", b"/readyz"
SEND_SECONDS = 60  # that a client may take no byte of what it asked for
_CLOSE = (b"connection", b"close")


class Watcher(Protocol):
    """A request as granian hands it on: what was asked, and how to answer; then ``done``."""

    scope: dict[str, Any]
    proto: Any

    def done(self) -> None: ...


class Pool:
    """Threads that do what they are given, in turns."""

    def __init__(self, name: str, size: int) -> None:
        self._tasks: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = SimpleQueue()
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name}-{number + 1}", daemon=True).start()

    def do(self, task: Callable[..., None], *arguments: Any) -> None:
        self._tasks.put((task, arguments))

    def _work(self) -> None:
        while True:
            task, arguments = self._tasks.get()
            try:
                task(*arguments)
            except Exception:
                log.exception("a request failed outside the application")


class Front:
    """Between granian, which calls :meth:`take` for each request, and the application."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop, rules: BodyRules, threads: int) -> None:
        self._app, self._loop = app, loop
        self._bodies = Bodies(rules)
        self._workers = Pool("request", threads)
        self._attendant = Pool("health", 1)
        self._receiving: set[asyncio.Task[None]] = set()
        self.is_draining = False

    def take(self, watcher: Watcher) -> None:
        """Begin with a request; called in the server's thread, which must not wait."""
        scope = watcher.scope
        path = scope["raw_path"]
        if path == ALIVE and scope["method"] in ("GET", "HEAD"):
            self._attendant.do(self._run, watcher)
        elif self.is_draining and path == READY:
            self._attendant.do(self._run, watcher, None, Unavailable("This process ends soon.", retry_after=5))
        elif _has_body(scope["headers"]):
            self._loop.call_soon_threadsafe(self._begin, self._receive(watcher))
        else:
            self._workers.do(self._run, watcher)

    def _begin(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._receiving.add(task)  # the loop itself would forget it
        task.add_done_callback(self._receiving.discard)

    async def _receive(self, watcher: Watcher) -> None:
        spool, refused = None, None
        try:
            spool = await self._bodies.receive(watcher.proto.receive, dict(watcher.scope["headers"]))
        except DomainError as error:
            refused = error
        except BrokenBodyError:
            refused = Invalid("The body is not as its headers say, or ended too early.", code="malformed_request")
        except Exception:
            watcher.done()
            raise
        self._workers.do(self._run, watcher, spool, refused)

    def _run(self, watcher: Watcher, spool: Spool | None = None, refused: DomainError | None = None) -> None:
        """Have the application answer; in a thread of a pool."""
        streams = False
        try:
            streams = self._answer(watcher, spool, refused)
        finally:
            if spool is not None:
                self._loop.call_soon_threadsafe(self._bodies.release, spool)
            if not streams:
                watcher.done()  # 500 where nothing was sent

    def _answer(self, watcher: Watcher, spool: Spool | None, refused: DomainError | None) -> bool:
        """Whether parts of the answer are still to be sent."""
        body = spool.reader() if spool is not None else io.BytesIO()
        environ = make_environ(watcher.scope, body, spool.size if spool is not None else None)
        if refused is not None:
            environ[REFUSED] = refused
        begun: list[Any] = []
        parts: Iterable[bytes] = self._app(
            environ, lambda status, headers, _error=None: begun.extend((status, headers))
        )
        status, headers = begun
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if refused is not None or self.is_draining:
            sent.append(_CLOSE)  # the rest of its body stays unread; or another process is to have the next request
        start = {"type": "http.response.start", "status": int(status[:3]), "headers": sent}
        if isinstance(parts, list | tuple) or watcher.scope["method"] == "HEAD":
            watcher.proto.send(start)
            whole = b"".join(parts) if watcher.scope["method"] != "HEAD" else b""
            watcher.proto.send({"type": "http.response.body", "body": whole})
            _close(parts)
            return False
        self._loop.call_soon_threadsafe(self._begin, self._stream(watcher, start, parts))
        return True

    async def _stream(self, watcher: Watcher, start: Mapping[str, Any], parts: Iterable[bytes]) -> None:
        """Send part after part, each as soon as the client has taken the one before, while there is a client."""
        gone = self._loop.create_task(_gone(watcher.proto.receive))
        try:
            await watcher.proto.send(start)
            iterator = iter(parts)
            while (part := await self._in_thread(next, iterator, None)) is not None and not gone.done():
                async with asyncio.timeout(SEND_SECONDS):
                    await watcher.proto.send({"type": "http.response.body", "body": part, "more_body": True})
            await watcher.proto.send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a client took nothing of its answer", extra={"seconds": SEND_SECONDS})
        except Exception as error:
            log.warning("an answer ended early", extra={"error_type": type(error).__name__})
        finally:
            gone.cancel()
            await self._in_thread(_close, parts)
            watcher.done()

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()

        def work() -> None:
            try:
                result = function(*arguments)
            except Exception as error:
                self._loop.call_soon_threadsafe(_settle, future, None, error)
            else:
                self._loop.call_soon_threadsafe(_settle, future, result, None)

        self._workers.do(work)
        return future


async def _gone(receive: Receive) -> None:
    """Ends when the client does."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _close(parts: Iterable[bytes] | Iterator[bytes]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)
