"""Small videos for tests, made as they are asked for."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
from PIL import Image


def make_video(
    container: str = "mp4",
    codec: str = "mpeg4",
    *,
    seconds: int = 3,
    size: tuple[int, int] = (160, 90),
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A video of ten frames a second: black for half a second, then red."""
    out = BytesIO()
    with av.open(out, "w", format=container) as writer:
        track: Any = writer.add_stream(codec, rate=10)
        track.width, track.height, track.pix_fmt = *size, "yuv420p"
        writer.metadata.update(metadata or {})
        for number in range(seconds * 10):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, "black" if number < 5 else "red"))
            writer.mux(track.encode(frame))
        writer.mux(track.encode(None))
    return out.getvalue()


def upright(content: bytes) -> bytes:
    """The same MP4 as a telephone makes it that was held upright: to be turned by a quarter when it is shown."""
    at = content.index(b"tkhd") + 4 + 40  # ISO 14496-12: version 0 has its matrix there
    turned = (0, 0x00010000, 0, -0x00010000, 0, 0, 0, 0, 0x40000000)
    return content[:at] + b"".join(number.to_bytes(4, "big", signed=True) for number in turned) + content[at + 36 :]
