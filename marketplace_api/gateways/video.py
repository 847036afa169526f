"""Videos as people send them: what they really are, how long they last, and a frame to show; needs the extra ``video``.

Pictures and sound are not encoded anew, but packed anew: what else was in the file, such as the place where a telephone
recorded it, stays behind. All of that happens in another process (``decoding/``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from io import UnsupportedOperation
from pathlib import Path
from typing import IO

from marketplace_api.config.settings import SettingsError
from marketplace_api.gateways.decoding.pool import VIDEOS, Order

MAX_SECONDS = 120
MAX_PIXELS = 3840 * 2160
POSTER_SIDE = 1600
MEGAPIXELS = 60
"""What a video costs of the limit on megapixels: about what is decoded on the way to its poster."""

_PROCESSOR, _SECONDS = 30, 45
_ROOM = 1024 * 1024  # bytes that a new container may take, beside twice the old one


@dataclass(frozen=True, slots=True)
class Video:
    """What a video is: ``ending`` is ``mp4`` or ``webm``, width and height are pixels as it is shown.

    ``poster`` is a WebP of at most :data:`POSTER_SIDE` pixels a side.
    """

    ending: str
    seconds: float
    width: int
    height: int
    poster: bytes


def is_available() -> bool:
    """Whether the extra is installed."""
    return find_spec("av") is not None


def megapixels(_stream: IO[bytes]) -> int:
    """What it costs to decode any video: its header may lie about how far apart the pictures are."""
    return MEGAPIXELS


def prepare(stream: IO[bytes], into: str, *, most_seconds: int = MAX_SECONDS) -> Video:
    """What the video in ``stream`` is, an MP4 or WebM of at most ``most_seconds``; it is written to the path ``into``.

    ``stream`` must be able to seek. Raises Invalid (``invalid_file``, field ``file``), OSError where there is no room,
    Unavailable while another one is decoded, and SettingsError where the extra is missing.
    """
    if not is_available():
        raise SettingsError("Videos need the extra: pip install 'marketplace-api[video]'.")
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    try:
        content, files = b"", [stream.fileno()]
        stream.flush()
    except UnsupportedOperation:
        content, files = stream.read(), []
    words = {
        "into": str(Path(into).absolute()),
        "most_seconds": most_seconds,
        "most_pixels": MAX_PIXELS,
        "longest_side": POSTER_SIDE,
    }
    order = Order("video", words, content, files, processor=_PROCESSOR, seconds=_SECONDS, writes=2 * size + _ROOM)
    answer = VIDEOS.run(order)
    told = answer.words
    return Video(told["ending"], told["seconds"], told["width"], told["height"], bytes(answer.blobs[0]))
