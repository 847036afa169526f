"""The application behind a real socket, for clients that are other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from waitress.server import create_server


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serves the WSGI application on a free port of this machine; gives its address, without a slash at the end."""
    sockets: dict[int, Any] = {}
    server = create_server(app, map=sockets, host="127.0.0.1", port=0, threads=4)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        # In the server's own thread, which else might be asking the system about a socket that is closed.
        server.trigger.pull_trigger(lambda: [dispatcher.close() for dispatcher in list(sockets.values())])
        thread.join(10)
        assert not thread.is_alive()
