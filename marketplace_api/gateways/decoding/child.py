"""The process that decodes: `python -m marketplace_api.gateways.decoding.child BYTES`, one file after the other.

Its standard input is a socket, and all that it has of its parent: no other descriptor, no setting, no secret. It ends
when the other end of the socket closes, also by a `kill -9` of the parent, also in the middle of its work.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from marketplace_api.errors import Invalid
from marketplace_api.gateways.decoding import document_work, frames, image_work, limits, video_work
from marketplace_api.gateways.decoding.frames import Frame
from marketplace_api.gateways.decoding.image_work import Bounds

MOST_BYTES = 1 << 30
"""Of one file that comes through the socket; the parent has its own, lower limits, and memory has one."""

GROWN = 192 * 1024 * 1024
"""Bytes of resident memory after its work with which a child is not used again."""

_TRACE = 8


def main(memory: int) -> None:
    """Work until the parent is gone, with at most ``memory`` bytes."""
    limits.settle(memory)
    connection = socket.socket(fileno=os.dup(0))
    waiting: SimpleQueue[Frame] = SimpleQueue()
    # A thread of its own, because whoever decodes does not hear that nobody waits any more.
    Thread(target=_listen, args=(connection, waiting), daemon=True).start()
    while True:
        frames.send(connection, _answer(waiting.get()))


def _listen(connection: socket.socket, waiting: SimpleQueue[Frame]) -> None:
    try:
        while True:
            waiting.put(frames.receive(connection, MOST_BYTES))
    except BaseException:  # whatever it is: without a parent that can be understood there is nothing to do
        os._exit(0)


def _answer(order: Frame) -> Frame:
    words = order.words
    limits.begin(processor=words["processor"], seconds=words["seconds"], writes=words["writes"])
    try:
        told, blobs = _WORK[words["work"]](order)
    except Invalid as error:
        told, blobs = {"refused": [error.errors[0].code, error.errors[0].message]}, []
    except MemoryError:
        told, blobs = {"failed": "memory", "grown": True}, []
    except OSError as error:
        told, blobs = {"errno": error.errno}, []
    except Exception as error:  # a mistake of ours, told without a word of what was in the file
        told, blobs = {"failed": f"{type(error).__name__} at {_place(error)}", "grown": True}, []
    finally:
        for descriptor in order.files:
            os.close(descriptor)
        limits.end()
    return Frame({"grown": limits.resident() > GROWN, **told}, blobs)


def _place(error: Exception) -> str:
    steps = traceback.extract_tb(error.__traceback__)[-_TRACE:]
    return ", ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)


Told = tuple[dict[str, Any], list[bytes]]


def _variants(order: Frame) -> Told:
    words = order.words
    sizes: Mapping[str, int] = words["sizes_of"]
    made = list(image_work.variants(bytes(order.blobs[0]), sizes, _bounds(words), square=words["square"]))
    return {"variants": [[v.name, v.width, v.height] for v in made]}, [v.content for v in made]


def _document(order: Frame) -> Told:
    data = bytes(order.blobs[0])
    return {"media_type": document_work.media_type_of(data, order.words["declared"], _bounds(order.words))}, []


def _pixels(order: Frame) -> Told:
    return {"pixels": document_work.pixels(bytes(order.blobs[0]), _bounds(order.words))}, []


def _video(order: Frame) -> Told:
    words = order.words
    with os.fdopen(os.dup(order.files[0]), "rb") if order.files else BytesIO(order.blobs[0]) as source:
        source.seek(0)
        found = video_work.prepare(source, words["into"], words["most_seconds"], _bounds(words))
    told = {"ending": found.ending, "seconds": found.seconds, "width": found.width, "height": found.height}
    return told, [found.poster]


def _bounds(words: Mapping[str, Any]) -> Bounds:
    return Bounds(words["most_pixels"], words["longest_side"])


_WORK: Mapping[str, Callable[[Frame], Told]] = {
    "variants": _variants,
    "document": _document,
    "pixels": _pixels,
    "video": _video,
}


if __name__ == "__main__":
    main(int(sys.argv[1]))
