"""What an image may be, and what becomes of it."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest
from PIL import Image, ImageCms

from marketplace_api.errors import Invalid
from marketplace_api.gateways import images
from tests.factories.images import GPS, MAKE, bomb, make_image, photo_with_gps


def opened(variant: images.Variant) -> Image.Image:
    image = Image.open(BytesIO(variant.content))
    image.load()
    assert image.size == (variant.width, variant.height)
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_kind_becomes_three_sizes_of_webp(kind: str) -> None:
    variants = images.photo_variants(BytesIO(make_image(kind, (2000, 1000))))
    sizes = {name: (variant.width, variant.height) for name, variant in variants.items()}
    assert sizes == {"full": (1600, 800), "card": (480, 240), "thumb": (160, 80)}
    assert {opened(variant).format for variant in variants.values()} == {"WEBP"}


def test_nothing_is_made_larger() -> None:
    variants = images.photo_variants(BytesIO(make_image("PNG", (200, 50))))
    assert [(v.width, v.height) for v in variants.values()] == [(200, 50), (200, 50), (160, 40)]


def test_pictures_are_cut_to_a_square() -> None:
    variants = images.picture_variants(BytesIO(make_image("JPEG", (900, 600))))
    assert {name: (v.width, v.height) for name, v in variants.items()} == {"card": (480, 480), "thumb": (160, 160)}
    small = images.picture_variants(BytesIO(make_image("PNG", (50, 30))))
    assert {(v.width, v.height) for v in small.values()} == {(30, 30)}


def test_nothing_tells_where_it_was_taken() -> None:
    sent = photo_with_gps()
    assert Image.open(BytesIO(sent)).getexif().get_ifd(GPS), "the test sends what is to be removed"
    for variant in images.photo_variants(BytesIO(sent)).values():
        image = opened(variant)
        assert MAKE not in image.getexif()
        assert not dict(image.getexif())
        assert {"exif", "xmp", "icc_profile", "comment"}.isdisjoint(image.info)
        for chunk in (b"EXIF", b"XMP ", b"ICCP", b"SecretCam", b"SecretComment"):
            assert chunk not in variant.content


def test_it_is_turned_upright() -> None:
    """Orientation 6: the camera was held so that the top row lies at the right."""
    full = opened(images.photo_variants(BytesIO(photo_with_gps((120, 80), 6)))["full"]).convert("RGB")
    assert full.size == (80, 120)
    (red, _, _), (_, _, blue) = full.getpixel((40, 20)), full.getpixel((40, 100))  # type: ignore[misc]
    assert red > 200
    assert blue > 200


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_all_ways_to_hold_colours_are_understood(mode: str) -> None:
    image = Image.new("RGBA", (40, 30), (10, 200, 30, 128)).convert("RGB" if mode == "I;16" else "RGBA")
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    out = BytesIO()
    image.save(out, "PNG")
    full = opened(images.photo_variants(BytesIO(out.getvalue()))["full"])
    assert full.mode == ("RGBA" if mode in ("LA", "RGBA", "P") else "RGB")


def test_print_colours_and_profiles_become_plain_ones() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert images.photo_variants(BytesIO(make_image("JPEG", mode="CMYK")))
    assert images.photo_variants(BytesIO(make_image("JPEG", icc_profile=profile)))
    assert images.photo_variants(BytesIO(make_image("JPEG", icc_profile=b"broken")))


def test_only_the_first_of_moving_images_counts() -> None:
    out = BytesIO()
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    full = opened(images.photo_variants(BytesIO(out.getvalue()))["full"])
    assert getattr(full, "n_frames", 1) == 1


def _zip() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.txt", "evil")
    return out.getvalue()


JPEG = make_image("JPEG", (300, 200), noise=True)
PNG = make_image("PNG", (300, 200), noise=True)
REFUSED = {
    "nothing": (b"", "empty_file"),
    "text": (b"just text", "wrong_content"),
    "a page": (b"<html><script>alert(1)</script></html>", "wrong_content"),
    "a drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "wrong_content"),
    "a document": (b"%PDF-1.7\n1 0 obj\n", "wrong_content"),
    "a film": (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(200), "wrong_content"),
    "a GIF": (make_image("GIF"), "wrong_content"),
    "a TIFF": (make_image("TIFF"), "wrong_content"),
    "only a beginning": (JPEG[:20], "broken_file"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "broken_file"),
    "half a PNG": (PNG[: len(PNG) // 2], "broken_file"),
    "half a WebP": (make_image("WEBP", (300, 200), noise=True)[:3000], "broken_file"),
    "a damaged PNG": (PNG[:200] + b"\xff\x00\xff" + PNG[203:], "broken_file"),
    "an image with an archive": (JPEG + _zip(), "hidden_content"),
    "an image with a program": (PNG + b"<?php system($_GET['c']); ?>", "hidden_content"),
    "a page in a comment": (make_image("JPEG", comment=b"<SCRIPT>alert(1)</SCRIPT>"), "hidden_content"),
    "a document in a comment": (make_image("JPEG", comment=b"%PDF-1.7"), "hidden_content"),
    "a bomb": (bomb(), "too_many_pixels"),
    "a wide bomb": (bomb(60_000, 100), "too_many_pixels"),
    "too many pixels": (bomb(10_000, 10_000), "too_many_pixels"),
    "a little too many": (bomb(8_000, 8_000), "too_many_pixels"),
}


@pytest.mark.parametrize(("content", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_honest_image_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        images.photo_variants(BytesIO(content))
    assert caught.value.code == "invalid_file"
    assert [(error.name, error.code) for error in caught.value.errors] == [("file", code)]
