"""What a video may be, and the frame that shows it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import pytest
from PIL import Image

from marketplace_api.errors import Invalid
from marketplace_api.gateways import video
from tests.factories.images import make_image


def make_video(
    container: str = "mp4", codec: str = "mpeg4", *, seconds: int = 3, size: tuple[int, int] = (160, 90),
    metadata: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
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


def code_of(content: bytes, **limits: int) -> str:
    with pytest.raises(Invalid) as caught:
        video.examine(BytesIO(content), **limits)
    assert caught.value.code == "invalid_file"
    (error,) = caught.value.errors
    assert error.name == "file"
    return error.code


@pytest.mark.parametrize(("container", "codec", "content_type"), [
    ("mp4", "mpeg4", "video/mp4"), ("mp4", "libx264", "video/mp4"), ("webm", "libvpx-vp9", "video/webm"),
])  # fmt: skip
def test_a_video_tells_what_it_is(container: str, codec: str, content_type: str) -> None:
    found = video.examine(BytesIO(make_video(container, codec)))
    assert (found.content_type, found.width, found.height) == (content_type, 160, 90)
    assert found.seconds == pytest.approx(3, abs=0.2)
    poster = Image.open(BytesIO(found.poster)).convert("RGB")
    assert poster.size == (160, 90)
    red, green, _blue = poster.getpixel((80, 45))  # type: ignore[misc]
    assert red > 150, "a frame from a second on, not the black beginning"
    assert green < 80


def test_a_short_one_shows_its_middle() -> None:
    assert video.examine(BytesIO(make_video(seconds=1))).poster


def test_the_poster_tells_nothing_else() -> None:
    found = video.examine(BytesIO(make_video(metadata={"title": "SecretTitle", "location": "+52.5+13.4/"})))
    assert b"Secret" not in found.poster
    assert not dict(Image.open(BytesIO(found.poster)).getexif())


def test_large_ones_get_a_smaller_poster() -> None:
    found = video.examine(BytesIO(make_video(seconds=1, size=(1920, 1080))))
    assert (found.width, found.height) == (1920, 1080)
    assert Image.open(BytesIO(found.poster)).size == (1600, 900)


def test_too_long_or_too_large_is_refused() -> None:
    assert code_of(make_video(seconds=3), most_seconds=2) == "too_long"
    assert code_of(make_video(seconds=1, size=(4096, 2304))) == "too_many_pixels"


GOOD = make_video()


@pytest.mark.parametrize(("content", "code"), [
    (b"", "empty_file"), (b"text", "broken_file"), (b"<html><script>1</script></html>", "broken_file"),
    (make_image(), "broken_file"), (make_image("PNG"), "broken_file"), (make_image("GIF"), "broken_file"),
    (make_video("avi"), "broken_file"), (make_video("matroska", "mpeg4"), "wrong_content"),
    (GOOD[: len(GOOD) // 2], "broken_file"), (GOOD[:40], "broken_file"),
    (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(500), "broken_file"),
    (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "broken_file"),
    (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "broken_file"),
])  # fmt: skip
def test_what_is_no_video_is_refused(content: bytes, code: str) -> None:
    assert code_of(content) == code
