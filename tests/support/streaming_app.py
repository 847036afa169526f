"""A WSGI application for tests of the server alone: long answers, slow work, and what arrived of a body."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from marketplace_api.config.settings import Settings

PART = b"x" * 65536
PARTS = 1600


class StreamingApp:
    """``/long`` in parts, ``/slow`` after two seconds, ``/counted`` how many parts left, anything else: its body."""

    def __init__(self, settings: Settings) -> None:
        self.registry = SimpleNamespace(app_settings=settings)
        self.made = self.closed = 0
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/long":
            start("200 OK", [("Content-Length", str(len(PART) * PARTS))])
            return self._parts()
        if path == "/slow":
            time.sleep(2)
        body = environ["wsgi.input"].read()
        told = {
            "parts": self.made,
            "closed": self.closed,
            "size": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
            "length": environ.get("CONTENT_LENGTH"),
            "headers": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
            "refused": getattr(environ.get("marketplace.refused"), "code", None),
        }
        answer = json.dumps(told).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _parts(self) -> Iterator[bytes]:
        try:
            for _ in range(PARTS):
                with self._lock:
                    self.made += 1
                yield PART
        finally:
            with self._lock:
                self.closed += 1


def make(_global_conf: dict[str, str], **ini: str) -> StreamingApp:
    """For ``[app:main] use = call:tests.support.streaming_app:make``."""
    return StreamingApp(Settings.load(ini, {}))
