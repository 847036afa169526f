"""What came over the wire (an ASGI scope) as a WSGI environment (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import IO, Any
from urllib.parse import unquote_to_bytes

_ALWAYS: Mapping[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}
_OWN_NAMES = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
# About the way to us, which ends here; the length of a body that came in chunks is known by now.
_OF_THE_CONNECTION = frozenset({b"transfer-encoding", b"connection", b"keep-alive", b"te", b"trailer", b"expect"})


def make_environ(scope: Mapping[str, Any], body: IO[bytes], length: int | None) -> dict[str, Any]:
    """The environment of the request; ``length`` is that of ``body`` where there is one.

    A header that came several times has all its values, with commas between. Names with an underscore are left out:
    they would pass for those with a hyphen, which the proxy vouches for.
    """
    raw: bytes = scope["raw_path"]
    environ: dict[str, Any] = {
        **_ALWAYS,
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": (unquote_to_bytes(raw) if b"%" in raw else raw).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
    }
    environ["SERVER_NAME"], port = scope["server"]
    environ["SERVER_PORT"] = str(port)
    environ["REMOTE_ADDR"], port = scope["client"]
    environ["REMOTE_PORT"] = str(port)
    for name, value in scope["headers"]:
        key = _key(name)
        if key is not None:
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


@lru_cache(maxsize=1024)
def _key(name: bytes) -> str | None:
    if name in _OF_THE_CONNECTION or b"_" in name:
        return None
    return _OWN_NAMES.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
