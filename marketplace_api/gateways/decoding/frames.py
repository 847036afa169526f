"""What parent and child tell each other: a few words as JSON, and bytes behind them.

Nothing is pickled: a child that a hostile file took over must not make its parent run anything.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_LENGTH = struct.Struct(">I")
MOST_WORDS = 64 * 1024  # bytes of JSON
MOST_FILES = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: ``words`` are JSON, ``blobs`` bytes behind them, ``files`` open descriptors that came along."""

    words: Mapping[str, Any]
    blobs: Sequence[bytes | bytearray] = field(default=())
    files: Sequence[int] = field(default=())


def send(connection: socket.socket, frame: Frame, *, deadline: float | None = None) -> None:
    """Write all of ``frame`` before the moment ``deadline`` of :func:`time.monotonic`; raises TimeoutError, OSError."""
    sizes = [len(blob) for blob in frame.blobs]
    words = json.dumps({**frame.words, "sizes": sizes}).encode()
    _limit(connection, deadline)
    # Descriptors travel with the first byte.
    socket.send_fds(connection, [_LENGTH.pack(len(words))], list(frame.files))
    for part in (words, *frame.blobs):
        _limit(connection, deadline)
        connection.sendall(part)


def receive(connection: socket.socket, most: int, *, deadline: float | None = None) -> Frame:
    """The next message, with at most ``most`` bytes behind its words.

    Raises TimeoutError, EOFError where the other side is gone, ValueError for what is no message, and OSError.
    """
    _limit(connection, deadline)
    head, files, _flags, _address = socket.recv_fds(connection, _LENGTH.size, MOST_FILES)
    try:
        if not head:
            raise EOFError
        head += _exactly(connection, _LENGTH.size - len(head), deadline)
        (length,) = _LENGTH.unpack(head)
        if length > MOST_WORDS:
            raise ValueError("words without end")
        words = json.loads(_exactly(connection, length, deadline))
        sizes = words.pop("sizes")
        if not all(type(size) is int and size >= 0 for size in sizes) or sum(sizes) > most:
            raise ValueError("more bytes than are allowed")
        return Frame(words, [_exactly(connection, size, deadline) for size in sizes], files)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no message") from error


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        _limit(connection, deadline)
        got = connection.recv_into(view[at:])
        if got == 0:
            raise EOFError
        at += got
    return data


def _limit(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def close(connection: socket.socket) -> None:
    """Close it, whatever became of the other side."""
    with suppress(OSError):
        connection.close()
