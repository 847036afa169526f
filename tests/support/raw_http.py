"""Requests as bytes on a socket: what no client library would send."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

SECONDS = 60  # against hangs; machines may be busy


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its headers by lower-case name; status 0 where the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def status_int(self) -> int:
        return self.status

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document, empty where it is none."""
        return str(self.json.get("code", "")) if self.headers.get("content-type") == "application/problem+json" else ""


class Connection:
    """An open connection, for one request after the other."""

    def __init__(self, port: int, seconds: float = SECONDS) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Whether it could be sent: the other side may have gone."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, with the whole of its body."""
        try:
            line = self._file.readline()
            while line.startswith(b"HTTP/1.1 100"):
                while self._file.readline().strip():
                    pass
                line = self._file.readline()
            if not line:
                return Answer(0, {}, b"")
            headers: dict[str, str] = {}
            while field := self._file.readline().strip():
                name, _, value = field.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            status = int(line.split()[1])
            return Answer(status, headers, self._body(method, status, headers))
        except ConnectionError:
            return Answer(0, {}, b"")

    def _body(self, method: str, status: int, headers: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") != "chunked":
            return self._file.read(int(headers["content-length"])) if "content-length" in headers else self._file.read()
        parts = []
        while size := int(self._file.readline(), 16):
            parts.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(parts)

    def is_ended(self) -> bool:
        """Whether the other side ends the connection, waited for as long as the socket waits."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def request(method: str, path: str, *headers: str, body: bytes = b"", host: str | None = "market.example") -> bytes:
    """A request as it goes over the wire; ``host`` may be left out."""
    given = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    return "\r\n".join(given).encode() + b"\r\n\r\n" + body


def ask(port: int, data: bytes, method: str = "GET") -> Answer:
    """What is answered to these bytes on a connection of their own."""
    with Connection(port) as connection:
        connection.send(data)
        return connection.answer(method)


def post(path: str, body: Any, *headers: str) -> bytes:
    """A POST of JSON."""
    data = json.dumps(body).encode()
    return request("POST", path, "Content-Type: application/json", f"Content-Length: {len(data)}", *headers, body=data)
