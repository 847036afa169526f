"""Our application, called without any server: a WSGI environ goes in, status and body come out."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa

from marketplace_api import logs
from marketplace_api.app import configure
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.jobs import dispatch

LOG_LEVEL = "WARNING"
UNREACHED = 1_000_000
"""Rate limits are counted and sent as always, but multiplied by so much that none is met."""

SECRET = "only-for-measuring-0123456789abcdefghij"
JWT_KEY = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

CONDITIONS = (
    "production settings; rate limits on, multiplied so that none is met; request ids, security headers, ETags and "
    f"metrics on; access log off (log level {LOG_LEVEL}); anonymous caller; answers as application/json"
)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def application(url: str, folder: Path) -> Iterator[WsgiApp]:
    """The application on the database at ``url``, as production configures it but for what CONDITIONS says."""
    settings = Settings(
        environment="production",
        public_url="https://marketplace.example",
        secret=SECRET,
        jwt_keys=JWT_KEY,
        database_url=url,
        data_dir=folder,
        rate_multiplier=UNREACHED,
        log_level=LOG_LEVEL,
    )
    logs.configure_logging(settings.log_level)
    databases = make_databases(
        url, pool_size=settings.database_pool_size, timeout=settings.database_timeout, on_event=dispatch.dispatch
    )
    try:
        yield configure(settings, databases).make_wsgi_app()
    finally:
        databases.dispose()


def unbound(databases: Databases) -> Databases:
    """The same database on the owner's connections: what policies cost is what this saves."""
    url = databases.write.url.render_as_string(hide_password=False)
    free = make_databases(url, pool_size=databases.write.pool.size(), on_event=dispatch.dispatch)  # type: ignore[attr-defined]

    def become_owner(connection: Any, _record: Any) -> None:
        connection.execute("SET ROLE NONE")
        connection.commit()

    for engine in (free.write, free.read):
        sa.event.listen(engine, "connect", become_owner)
    return free


def make_environ(target: str) -> dict[str, Any]:
    """What a server hands over for ``GET target``; the application may change it, so each call needs its own copy."""
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "6543",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:6543",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def get(app: WsgiApp, environ: dict[str, Any]) -> tuple[str, bytes]:
    """Status line and body of the answer to a copy of ``environ``."""
    status = ""

    def start_response(given: str, _headers: Any, _error: Any = None) -> Callable[[bytes], object]:
        nonlocal status
        status = given
        return lambda _chunk: None

    answer = app(dict(environ), start_response)
    try:
        return status, b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
