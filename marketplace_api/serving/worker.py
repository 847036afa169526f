"""A process of the API under granian: its server, its event loop, and how it ends.

granian's own way for WSGI gives a request a thread before its body is there, and its way for ASGI takes every request
through the event loop, which costs reads a third of their speed. So this takes its ASGI server and puts
:class:`~marketplace_api.serving.front.Front` where its scheduler stands. That is no public interface of granian's:
setup.cfg says with which versions it works, and tests/deploy/ would tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from multiprocessing import parent_process
from typing import Any

from granian._granian import ASGIWorker, CallbackScheduler, WorkerSignal
from granian.server.common import WORKERS_METHODS
from granian.server.mp import WorkerProcess

from marketplace_api.config.settings import Settings
from marketplace_api.serving.bodies import BodyRules
from marketplace_api.serving.front import Front

log = logging.getLogger(__name__)

_SERVER: Any = ASGIWorker  # its stub is of an earlier version


class _Scheduler(CallbackScheduler):
    """What granian calls for each request: ``callback``, in the thread of the server that read its head."""

    def __init__(self, _loop: Any, callback: Any, *_: Any) -> None:
        super().__init__()
        self._schedule_fn = callback


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def serve_worker(
    worker_id: int,
    app: Any,
    sockets: tuple[Any, Any],
    ipc: Any,
    loop: asyncio.AbstractEventLoop,
    runtime_mode: Any,
    runtime_threads: int,
    runtime_blocking_threads: int,
    python_threads: int,
    python_threads_idle_timeout: int,
    backpressure: int,
    _task_implementation: Any,
    http_mode: str,
    http1_settings: Any,
    http2_settings: Any,
    websockets: bool,
    static_path: Any,
    _log_access_format: str | None,
    tls: tuple[Any, ...],
    _scope_options: dict[str, Any],
    metrics: Any,
    *,
    threads: int,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; what granian starts in each of its processes, by position.

    ``threads`` requests are worked on at a time.
    """
    settings: Settings = app.registry.app_settings
    front = Front(app, loop, BodyRules.from_settings(settings), threads)
    stop = WorkerSignal()
    ended = asyncio.Event()
    stop.add_cb(lambda: loop.call_soon_threadsafe(ended.set))
    _end_on_signals(loop, front, stop, settings.drain_seconds)
    server = _SERVER(
        worker_id,
        sockets,
        ipc,
        runtime_threads,
        runtime_blocking_threads,
        python_threads,
        python_threads_idle_timeout,
        backpressure,
        http_mode,
        http1_settings,
        http2_settings,
        websockets,
        static_path,
        *tls,
        metrics,
    )
    serve = getattr(server, WORKERS_METHODS[runtime_mode][False])
    serve(_Scheduler(loop, front.take, None, None, None), loop, stop)
    loop.run_until_complete(ended.wait())


def _end_on_signals(loop: asyncio.AbstractEventLoop, front: Front, stop: WorkerSignal, seconds: int) -> None:
    """On SIGTERM: for ``seconds`` say that this process is not ready, so that proxies send nothing more; then stop.

    At once where nobody is left who waits for it: on SIGINT, and when the process is gone that started us.
    """

    def end(number: int) -> None:
        if front.is_draining:
            return
        front.is_draining = True
        parent = parent_process()
        if seconds and number == signal.SIGTERM and parent is not None and os.getppid() == parent.pid:
            log.info("no longer ready, and about to stop", extra={"seconds": seconds})
            loop.call_later(seconds, stop.set)
        else:
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
