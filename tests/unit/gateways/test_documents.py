"""What is taken as a document, told by its content."""

from __future__ import annotations

import pytest

from marketplace_api.errors import Invalid
from marketplace_api.gateways import documents, images
from tests.factories.images import bomb, make_image
from tests.factories.verifications import make_pdf

PDF, JPEG, PNG = make_pdf(), make_image("JPEG", (80, 60)), make_image("PNG", (80, 60), noise=True)
ZIP_END = b"PK\x05\x06" + bytes(18)


def refusal(data: bytes, declared: str = "") -> str:
    with pytest.raises(Invalid) as caught:
        documents.media_type_of(data, declared)
    (error,) = caught.value.errors
    assert (caught.value.code, error.location, error.name) == ("invalid_file", "body", "file")
    return error.code


@pytest.mark.parametrize(("data", "kind"), [(PDF, "application/pdf"), (JPEG, "image/jpeg"), (PNG, "image/png")])
def test_what_is_taken(data: bytes, kind: str) -> None:
    for declared in ("", "application/octet-stream", kind, kind.upper(), f"{kind}; name=x"):
        assert documents.media_type_of(data, declared) == kind


def test_other_names_of_types() -> None:
    assert documents.media_type_of(JPEG, "image/jpg") == "image/jpeg"
    assert documents.media_type_of(PDF, "application/x-pdf") == "application/pdf"
    assert documents.media_type_of(PDF + b"\r\n \x00") == "application/pdf"


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (PDF, "image/png"),
        (PNG, "image/jpeg"),
        (JPEG, "application/pdf"),
        (PDF, "text/html"),
        (PNG, "image/svg+xml"),
        (PDF, "text/plain"),
    ],
)
def test_types_that_lie(data: bytes, declared: str) -> None:
    assert refusal(data, declared) == "wrong_content_type"


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"<html></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"PK\x03\x04",
        b"\x00" * 100,
        b"%PDF",
        b"%PDF-9.9\n",
        b"\n" + PDF,
        b"<script>1</script>" + PDF,
        make_image("WEBP"),
        make_image("GIF"),
        make_image("TIFF"),
        make_image("BMP"),
        b"MZ" + bytes(200),
        b"\x7fELF" + bytes(200),
    ],
)
def test_what_is_none_of_them(data: bytes) -> None:
    assert refusal(data) == "wrong_content"


def test_nothing() -> None:
    assert refusal(b"") == "empty_file"


@pytest.mark.parametrize(
    "data",
    [
        PDF[:-6],
        PDF[: len(PDF) // 2],
        PDF[:20],
        PDF + b"MZ" + bytes(50),
        PDF.replace(b"startxref", b"startnone"),
        JPEG[: len(JPEG) // 2],
        JPEG[:30],
        PNG[: len(PNG) // 2],
        PNG[:-20],
        PNG[:40] + b"\xff" + PNG[41:],
    ],
)
def test_what_is_broken_off(data: bytes) -> None:
    assert refusal(data) == "broken_file"


@pytest.mark.parametrize(
    "data",
    [
        PDF + ZIP_END,
        PDF + b"<script>1</script>",
        PNG + ZIP_END,
        JPEG + ZIP_END,
        PNG + PDF[:100].replace(PDF[:100], b"<html><script>"),
        make_image("JPEG", comment=b"<script>alert(1)</script>"),
        make_image("JPEG", comment=PDF),
        PDF[:15] + b"%<html><script>alert(1)</script>\n" + PDF[15:],
    ],
)
def test_what_is_two_things_at_once(data: bytes) -> None:
    assert refusal(data) == "hidden_content"


def test_bombs_and_giants(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(bomb()) == "too_many_pixels"
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    assert refusal(JPEG) == "too_many_pixels"
