"""In the child: what a video really is, a frame of it to show, and its pictures and sound packed anew.

PyAV brings FFmpeg along. What else was in the file, such as the place where a telephone recorded it, stays behind.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image

from marketplace_api import lazy
from marketplace_api.errors import Invalid
from marketplace_api.gateways.decoding.image_work import QUALITY, Bounds
from marketplace_api.gateways.decoding.refusals import refused

POSTER_AT = Fraction(1)
"""Seconds; the very first frame is often black."""

MOST_FRAMES = 600
"""Decoded at most on the way to the poster: keyframes may lie far apart."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# Containers by the names that FFmpeg has for them, and what they are packed into.
_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "webm"}
# Playlists and the like, which name other files or addresses, are not even looked into.
_OPTIONS = {"format_whitelist": ",".join(_CONTAINERS), "protocol_whitelist": "pipe"}

_CODECS = {
    "mp4": frozenset({"h264", "hevc", "av1", "mpeg4", "aac", "mp3", "opus"}),
    "webm": frozenset({"vp8", "vp9", "av1", "opus", "vorbis"}),
}

# The index goes to the front, so that a browser can begin before it has the whole.
_PACKING = {"mp4": {"movflags": "+faststart"}, "webm": {}}


@dataclass(frozen=True, slots=True)
class Video:
    """What a video is: ``ending`` is ``mp4`` or ``webm``, width and height are pixels as it is shown.

    ``poster`` is a WebP.
    """

    ending: str
    seconds: float
    width: int
    height: int
    poster: bytes


@cache
def _av() -> Any:
    """PyAV, loaded when the first video comes: who decodes pictures never needs its 20 MB."""
    return lazy.load("av")


def prepare(source: Any, into: str, most_seconds: int, bounds: Bounds) -> Video:
    """What the video in ``source`` (bytes, or a file that can seek) is; it is packed anew to the path ``into``.

    Raises Invalid, and OSError where there is no room.
    """
    if not source.read(1):
        raise refused("empty_file", "The file is empty.")
    source.seek(0)
    with _complaints():
        with _av().open(source, "r", metadata_errors="replace", options=_OPTIONS) as container:
            ending = _ending(container)
            track = container.streams.video[0]
            # One thread each: who decodes beside us has a processor as well, and threads take memory.
            track.codec_context.thread_count = 1
            if track.codec_context.width * track.codec_context.height > bounds.pixels:
                raise refused("too_many_pixels", "The video may have 3840 x 2160 pixels at most.")
            seconds = _seconds(container, track)
            if seconds > most_seconds:
                told = f"The video may last {most_seconds} seconds at most; it lasts {seconds:.0f}."
                raise refused("too_long", told)
            image = _picture(container, track, min(POSTER_AT, Fraction(seconds) / 2))
        source.seek(0)
        with _av().open(source, "r", metadata_errors="replace", options=_OPTIONS) as container:
            _pack(container, into, ending)
    width, height = image.size
    return Video(ending, seconds, width, height, _poster(image, bounds.side))


def _poster(image: Image.Image, side: int) -> bytes:
    image.thumbnail((side, side))
    image.info.clear()
    out = BytesIO()
    image.save(out, "WEBP", quality=QUALITY, exif=b"", xmp=b"")
    return out.getvalue()


def _pack(container: Any, into: str, ending: str) -> None:
    """The same pictures and sound in a new container, and nothing else."""
    tracks = [*container.streams.video, *container.streams.audio]
    with _av().open(into, "w", format=ending, container_options=_PACKING[ending]) as packed:
        copies = {track.index: packed.add_stream_from_template(track) for track in tracks}
        for copy in copies.values():
            copy.metadata.clear()
        for packet in container.demux(tracks):
            if packet.dts is None:
                continue  # the end of a track
            packet.stream = copies[packet.stream.index]
            packed.mux(packet)


def _ending(container: Any) -> str:
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
    names = {
        "libdav1d": "av1",
        "libaom-av1": "av1",
        "libvpx": "vp8",
        "libvpx-vp9": "vp9",
        "libopus": "opus",
        "libvorbis": "vorbis",
        "mp3float": "mp3",
    }
    return names.get(decoder, decoder)


def _seconds(container: Any, track: Any) -> float:
    """The longer of what container and track say, for either may lie; unknown is refused."""
    told = [Fraction(container.duration, _av().time_base)] if container.duration else []
    told += [track.duration * track.time_base] if track.duration and track.time_base else []
    if not told or max(told) <= 0:
        raise refused("broken_file", "The video does not say how long it is. Export it anew.")
    return float(max(told))


def _picture(container: Any, track: Any, at: Fraction) -> Image.Image:
    """The frame at ``at`` seconds, or the last one before, as it is shown: telephones are often held upright."""
    last = None
    for number, frame in enumerate(container.decode(track)):
        last = frame
        if number >= MOST_FRAMES or (frame.time is not None and frame.time >= at):
            break
    if last is None:
        raise refused("broken_file", "The video holds no picture.")
    image: Image.Image = last.to_image()
    return image.rotate(last.rotation, expand=True) if last.rotation else image


@contextmanager
def _complaints() -> Iterator[None]:
    """Whatever the decoder says is the sender's to mend, for it was given their bytes only; a full disk is ours."""
    try:
        yield
    except (Invalid, MemoryError):
        raise
    except (_av().FFmpegError, ValueError, IndexError, OSError) as error:
        if getattr(error, "errno", None) in _FULL:
            raise
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error
        raise refused("broken_file", "The video cannot be read: it is none, damaged or incomplete.") from error
