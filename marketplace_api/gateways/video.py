"""Videos as people send them: what they really are, how long they last, and a frame to show; needs the extra ``video``.

PyAV brings FFmpeg along. Nothing is encoded anew: a video is taken as it is or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import IO, Any

from marketplace_api.errors import Invalid
from marketplace_api.gateways.images import QUALITY, refused
from marketplace_api.settings import SettingsError

try:
    import av
except ImportError:  # pragma: no cover - only where the extra is missing
    av = None  # type: ignore[assignment]

MAX_SECONDS = 120
MAX_PIXELS = 3840 * 2160
POSTER_SIDE = 1600
POSTER_AT = Fraction(1)
"""Seconds; the very first frame is often black."""

MOST_FRAMES = 600
"""Decoded at most on the way to the poster: keyframes may lie far apart."""

# Containers by the names that FFmpeg has for them, each with what may be inside; and the media type that results.
_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2": "video/mp4", "matroska,webm": "video/webm"}
# Playlists and the like, which name other files or addresses, are not even looked into.
_OPTIONS = {"format_whitelist": ",".join(_CONTAINERS), "protocol_whitelist": "pipe"}

_CODECS = {
    "video/mp4": frozenset({"h264", "hevc", "av1", "mpeg4", "aac", "mp3", "opus"}),
    "video/webm": frozenset({"vp8", "vp9", "av1", "opus", "vorbis"}),
}


@dataclass(frozen=True, slots=True)
class Video:
    """What a video is; ``poster`` is a WebP of at most :data:`POSTER_SIDE` pixels a side."""

    content_type: str
    seconds: float
    width: int
    height: int
    poster: bytes


def examine(stream: IO[bytes], *, most_seconds: int = MAX_SECONDS) -> Video:
    """The video in ``stream``, an MP4 or WebM of at most ``most_seconds``.

    Raises Invalid (``invalid_file``, field ``file``), and SettingsError where the extra is missing.
    """
    if av is None:
        raise SettingsError("Videos need the extra: pip install 'marketplace-api[video]'.")
    if not stream.read(1):
        raise refused("empty_file", "The file is empty.")
    stream.seek(0)
    with _complaints(), av.open(stream, "r", metadata_errors="replace", options=_OPTIONS) as container:
        content_type = _content_type(container)
        track = container.streams.video[0]
        if track.codec_context.width * track.codec_context.height > MAX_PIXELS:
            raise refused("too_many_pixels", "The video may have 3840 x 2160 pixels at most.")
        seconds = _seconds(container, track)
        if seconds > most_seconds:
            raise refused("too_long", f"The video may last {most_seconds} seconds at most; it lasts {seconds:.0f}.")
        frame = _frame(container, track, min(POSTER_AT, Fraction(seconds) / 2))
        image = frame.to_image()
    width, height = image.size
    image.thumbnail((POSTER_SIDE, POSTER_SIDE))
    image.info.clear()
    out = BytesIO()
    image.save(out, "WEBP", quality=QUALITY, exif=b"", xmp=b"")
    return Video(content_type, seconds, width, height, out.getvalue())


def _content_type(container: Any) -> str:
    """By what is inside: the name of the container alone would let anything through."""
    found = _CONTAINERS.get(container.format.name)
    codecs = [track.codec_context.name for track in container.streams if track.type in ("video", "audio")]
    known = found is not None and all(_plain(codec) in _CODECS[found] for codec in codecs)
    others = any(track.type not in ("video", "audio", "data", "subtitle") for track in container.streams)
    if found is None or not known or others or len(container.streams.video) != 1:
        raise refused("wrong_content", "Send an MP4 (H.264, H.265, AV1) or a WebM (VP8, VP9, AV1).")
    return found


def _plain(decoder: str) -> str:
    """The codec's name, whichever library decodes it."""
    names = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9", "libopus": "opus",
             "libvorbis": "vorbis", "mp3float": "mp3"}  # fmt: skip
    return names.get(decoder, decoder)


def _seconds(container: Any, track: Any) -> float:
    """The longer of what container and track say, for either may lie; unknown is refused."""
    told = [Fraction(container.duration, av.time_base)] if container.duration else []
    told += [track.duration * track.time_base] if track.duration and track.time_base else []
    if not told or max(told) <= 0:
        raise refused("broken_file", "The video does not say how long it is. Export it anew.")
    return float(max(told))


def _frame(container: Any, track: Any, at: Fraction) -> Any:
    """The frame at ``at`` seconds, or the last one before."""
    last = None
    for number, frame in enumerate(container.decode(track)):
        last = frame
        if number >= MOST_FRAMES or (frame.time is not None and frame.time >= at):
            break
    if last is None:
        raise refused("broken_file", "The video holds no picture.")
    return last


@contextmanager
def _complaints() -> Iterator[None]:
    """Whatever the decoder says is the sender's to mend: it was given their bytes only."""
    try:
        yield
    except Invalid:
        raise
    except (av.FFmpegError, ValueError, IndexError, OSError) as error:
        raise refused("broken_file", "The video cannot be read: it is none, damaged or incomplete.") from error
