"""What a video may be, and the frame that shows it."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from marketplace_api.errors import Invalid
from marketplace_api.gateways import video
from tests.factories.images import make_image
from tests.factories.videos import make_video, upright


def prepared(content: bytes, **limits: int) -> tuple[video.Video, bytes]:
    """What a video is, and what is kept of it."""
    with tempfile.NamedTemporaryFile() as kept:
        return video.prepare(BytesIO(content), kept.name, **limits), Path(kept.name).read_bytes()


def code_of(content: bytes, **limits: int) -> str:
    with pytest.raises(Invalid) as caught:
        prepared(content, **limits)
    assert caught.value.code == "invalid_file"
    (error,) = caught.value.errors
    assert error.name == "file"
    return error.code


@pytest.mark.parametrize(
    ("container", "codec", "ending"),
    [("mp4", "mpeg4", "mp4"), ("mp4", "libx264", "mp4"), ("webm", "libvpx-vp9", "webm")],
)
def test_a_video_tells_what_it_is(container: str, codec: str, ending: str) -> None:
    found, _kept = prepared(make_video(container, codec))
    assert (found.ending, found.width, found.height) == (ending, 160, 90)
    assert found.seconds == pytest.approx(3, abs=0.2)
    poster = Image.open(BytesIO(found.poster)).convert("RGB")
    assert poster.size == (160, 90)
    red, green, _blue = poster.getpixel((80, 45))  # type: ignore[misc]
    assert red > 150, "a frame from a second on, not the black beginning"
    assert green < 80


def test_a_short_one_shows_its_middle() -> None:
    assert prepared(make_video(seconds=1))[0].poster


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9")])
def test_where_it_was_recorded_stays_behind(container: str, codec: str) -> None:
    told = {"title": "SecretTitle", "location": "+52.5+13.4/", "comment": "SecretComment"}
    sent = make_video(container, codec, metadata=told)
    assert b"Secret" in sent
    found, kept = prepared(sent)
    assert b"Secret" not in kept
    assert b"+52.5" not in kept
    assert b"Secret" not in found.poster
    assert not dict(Image.open(BytesIO(found.poster)).getexif())


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("mp4", "mpeg4"), ("webm", "libvpx-vp9")])
def test_what_is_kept_shows_the_same(container: str, codec: str) -> None:
    sent = make_video(container, codec)
    _found, kept = prepared(sent)
    with av.open(BytesIO(sent)) as before, av.open(BytesIO(kept)) as after:
        first, second = ([frame.to_image().tobytes() for frame in each.decode(video=0)] for each in (before, after))
    assert len(first) == 30
    assert first == second
    if container == "mp4":
        assert kept.index(b"moov") < kept.index(b"mdat"), "a browser can begin at once"


def test_one_that_was_held_upright_stands_upright() -> None:
    found, kept = prepared(upright(make_video()))
    assert (found.width, found.height) == (90, 160)
    assert Image.open(BytesIO(found.poster)).size == (90, 160)
    again, _ = prepared(kept)
    assert (again.width, again.height) == (90, 160), "the turn is kept with the video"


def test_a_full_disk_is_not_the_senders_fault() -> None:
    with pytest.raises(OSError, match="No space left"):
        video.prepare(BytesIO(GOOD), "/dev/full")


def test_large_ones_get_a_smaller_poster() -> None:
    found, _kept = prepared(make_video(seconds=1, size=(1920, 1080)))
    assert (found.width, found.height) == (1920, 1080)
    assert Image.open(BytesIO(found.poster)).size == (1600, 900)


def test_too_long_or_too_large_is_refused() -> None:
    assert code_of(make_video(seconds=3), most_seconds=2) == "too_long"
    assert code_of(make_video(seconds=1, size=(4096, 2304))) == "too_many_pixels"


GOOD = make_video()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"text", "broken_file"),
        (b"<html><script>1</script></html>", "broken_file"),
        (make_image(), "broken_file"),
        (make_image("PNG"), "broken_file"),
        (make_image("GIF"), "broken_file"),
        (make_video("avi"), "broken_file"),
        (make_video("matroska", "mpeg4"), "wrong_content"),
        (GOOD[: len(GOOD) // 2], "broken_file"),
        (GOOD[:40], "broken_file"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(500), "broken_file"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "broken_file"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "broken_file"),
    ],
)
def test_what_is_no_video_is_refused(content: bytes, code: str) -> None:
    assert code_of(content) == code
