"""One log for everything: each record, ours or a library's, is one line on standard error.

JSON for machines (time, level, logger, event, request_id, extras, traceback); coloured lines for a person at a
terminal.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from marketplace_api.characters import visible_colored, visible_json, visible_lines

HIDDEN = "[hidden]"
SECRET_KEYS = frozenset({"password", "token", "refresh_token", "access_token", "authorization", "cookie", "secret"})
# Libraries that tell every step at INFO; what matters of it we log ourselves.
CHATTY = ("procrastinate", "alembic", "psycopg.pool", "asyncio", "uvicorn", "socketio", "engineio")


def configure_logging(level: str = "INFO", *, pretty: bool | None = None) -> None:
    """Send all logging to standard error from ``level`` up; ``pretty`` is the default on a terminal.
    FORCE_COLOR says that a terminal is at the other end of a pipe.

    Calling it again replaces what the earlier call set. Raises ``ValueError`` for an unknown level.
    """
    if pretty is None:
        pretty = sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR"))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared[:3],
            *shared[4:],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people() if pretty else _for_machines()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)


def bind_request(request_id: str | None, **more: Any) -> None:
    """From here on every record of this thread or task carries ``request_id``; forgets the request before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id, **more)


def hide_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Blank every value whose key says that it is a secret, also inside mappings."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _hidden(key: object, value: object) -> Any:
    if isinstance(key, str) and key.lower() in SECRET_KEYS:
        return HIDDEN
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, item) for inner, item in value.items()}
    return value


def _for_people() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=True, timestamp_key="time", pad_event_to=0, exception_formatter=_format_visibly
    )
    return [_make_visible, renderer]


def _make_visible(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Names and user agents are written by strangers, and this goes to a terminal."""
    return {key: visible_lines(value) if isinstance(value, str) else value for key, value in event.items()}


def _format_visibly(stream: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.default_exception_formatter(text, exc_info)
    stream.write(visible_colored(text.getvalue()))


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, _name_traceback, structlog.processors.JSONRenderer(_dumps)]


def _name_traceback(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    if "exception" in event:
        event["traceback"] = event.pop("exception")
    return event


def _dumps(record: Any, **_: Any) -> str:
    return visible_json(orjson.dumps(record, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode())
