"""Forms with files: what is refused, and what of a file counts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pyramid.request import Request as PyramidRequest
from webob import Request

from marketplace_api.config.settings import Settings
from marketplace_api.hal import affordances
from marketplace_api.schemas.uploads import UploadForm
from marketplace_api.views.uploads import SPOOLED, read_upload
from tests.factories.images import bomb, make_image
from tests.functional.photos_world import PNG, add, errors, path_of
from tests.support.client import Client, Named, multipart

REFUSED_FILES = {
    "nothing": (b"", "empty_file"),
    "text": (b"no image at all", "wrong_content"),
    "a page that says it is a photo": (Named("photo.jpg", "image/jpeg", b"<html><script>1</script>"), "wrong_content"),
    "half of one": (make_image(size=(300, 200), noise=True)[:5000], "broken_file"),
    "100 megapixels": (bomb(10_000, 10_000), "too_many_pixels"),
    "a program behind it": (PNG + b"<?php evil(); ?>", "hidden_content"),
}


@pytest.mark.parametrize(("file", "code"), REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_what_is_no_photo_is_refused(file: Any, code: str, owner: Client, listing: Any, run_sweep: Any) -> None:
    answer = add(owner, listing, file)
    assert (answer.status_int, answer.json["code"], errors(answer)) == (400, "invalid_file", [("file", code)])
    assert owner.get(path_of(listing)).json["photos"] == []
    assert run_sweep().cleared == 0, "no row and no object"


@pytest.mark.parametrize(
    "file",
    [
        Named("report.pdf", "application/pdf", PNG),
        Named("", "", PNG),
        Named("../../../etc/passwd", "text/html", PNG),
        Named("a%00b.php", "image/svg+xml", PNG),
        Named("..\\..\\boot.ini", "nonsense", PNG),
        Named("x" * 3000, "image/png", PNG),
    ],
)
def test_only_the_content_counts(file: Named, owner: Client, listing: Any) -> None:
    made = add(owner, listing, file)
    assert made.status_int == 201, made.text
    assert all(url.startswith("/files/photo-") for url in made.json["urls"].values())
    assert "passwd" not in made.text


def test_all_that_is_wrong_is_told_at_once(owner: Client, listing: Any) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    raw = b'--b\r\nContent-Disposition: form-data; name="alt_text"\r\n\r\n' + b"x" * 301 + b"\r\n"
    raw += b'--b\r\nContent-Disposition: form-data; name="colour"\r\n\r\nred\r\n--b--\r\n'
    answer = owner.request("POST", path_of(listing), raw=raw, headers=boundary)
    assert answer.status_int == 400
    assert set(errors(answer)) == {("file", "required"), ("alt_text", "too_long"), ("colour", "unknown_field")}


TEXT_PART = b'Content-Disposition: form-data; name="alt_text"\r\n\r\n'
FILE_PART = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG
MALFORMED = {
    "nothing": (b"", "b", 400),
    "no boundary in the header": (b"--b--\r\n", "", 400),
    "another boundary": (b"--c\r\n" + FILE_PART + b"\r\n--c--\r\n", "b", 400),
    "no end": (b"--b\r\n" + FILE_PART, "b", 400),
    "no parts": (b"--b--\r\n", "b", 400),
    "two files": ((b"--b\r\n" + FILE_PART + b"\r\n") * 2 + b"--b--\r\n", "b", 400),
    "a part without a name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "b", 400),
    "a part without headers": (b"--b\r\n\r\nx\r\n--b--\r\n", "b", 400),
    "no form data": (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", "b", 400),
    "a field that is no UTF-8": (b"--b\r\n" + TEXT_PART + b"\xff\r\n--b--\r\n", "b", 400),
    "endless fields": (b"--b\r\n" + TEXT_PART + b"x" * 70_000 + b"\r\n--b--\r\n", "b", 413),
    "endless headers": (b"--b\r\nX: " + b"x" * 50_000 + b"\r\n\r\n", "b", 413),
    "endless parts": (
        b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n\r\n' % n for n in range(100)),
        "b",
        413,
    ),
}


@pytest.mark.parametrize(("raw", "boundary", "status"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_form_is_the_sender_s_fault(
    raw: bytes, boundary: str, status: int, owner: Client, listing: Any
) -> None:
    sent = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = owner.request("POST", path_of(listing), raw=raw, headers=sent)
    assert answer.status_int == status, answer.text
    assert owner.get(path_of(listing)).json["photos"] == []


def test_what_is_no_form_is_refused(owner: Client, listing: Any) -> None:
    assert owner.post(path_of(listing), {"file": "text"}).status_int == 415
    assert owner.request("POST", path_of(listing), raw=PNG, headers={"Content-Type": "image/png"}).status_int == 415
    assert owner.request("PUT", path_of(listing), {"photos": [], "file": PNG}).status_int == 415


def test_a_file_that_is_too_large_is_not_even_read(owner: Client, listing: Any, settings: Settings) -> None:
    class Untouched(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("the body was read")

    sent = {"CONTENT_TYPE": "multipart/form-data; boundary=b", "HTTP_AUTHORIZATION": f"Bearer {owner.token}"}
    environ = {**sent, "CONTENT_LENGTH": str(settings.photo_limit + 70_000), "wsgi.input": Untouched()}
    answer = Request.blank(path_of(listing), environ, method="POST").get_response(owner.app)
    assert (answer.status_int, answer.json["code"]) == (413, "body_too_large")


def test_a_file_that_turns_out_too_large_is_refused(owner: Client, listing: Any, settings: Settings) -> None:
    answer = add(owner, listing, b"x" * (settings.photo_limit + 1))
    assert (answer.status_int, answer.json["code"]) == (413, "body_too_large")
    assert str(settings.photo_limit) in answer.json["detail"]


# The files themselves.


@pytest.fixture
def url(owner: Client, listing: Any) -> str:
    address: str = add(owner, listing, make_image("PNG", (400, 300), noise=True)).json["urls"]["full"]
    return address


def test_what_must_not_touch_a_disk_stays_in_memory(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form declared ``in_memory`` is read without a temporary file, however large it is."""
    content = make_image("PNG", (1500, 1500), noise=True)
    assert len(content) > 2 * SPOOLED
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", None)
    form = UploadForm(("image/png",), "document_limit", in_memory=True)
    upload = read_upload(_request(client, {"file": content, "alt_text": "x"}), _operation(form))
    assert isinstance(upload.stream, BytesIO)
    assert (upload.stream.read(), upload.size, upload.fields) == (content, len(content), {"alt_text": "x"})
    assert (upload.filename, upload.declared_type) == ("photo.png", "image/png")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\me.png", "me.png"),
        ("a%00b\x07.png", "a%00b.png"),
        ("", ""),
        ("ü" * 200 + ".png", "ü" * 146 + ".png"),
        ("/", ""),
    ],
)
def test_names_are_for_showing_only(given: str, shown: str, client: Client) -> None:
    form = UploadForm(("image/png",), "photo_limit")
    request = _request(client, {"file": Named(given, "image/png", PNG)})
    assert read_upload(request, _operation(form)).filename == shown
    request._process_finished_callbacks()


def _request(client: Client, fields: dict[str, Any]) -> Any:
    content_type, body = multipart(fields)
    request = PyramidRequest.blank("/", method="POST", content_type=content_type, body=body)
    request.registry = client.app.registry  # type: ignore[attr-defined]
    return request


def _operation(form: UploadForm) -> Any:
    (operation,) = (operation for operation in affordances.ALL if operation.name == "add-photo")
    return replace(operation, upload=form)


def test_a_file_under_another_name_is_told_where_it_goes(owner: Client, listing: Any) -> None:
    answer = owner.request("POST", path_of(listing), {"photo": PNG})
    assert answer.status_int == 400
    found = {error["name"]: (error["code"], error["message"]) for error in answer.json["errors"]}
    assert found["photo"] == ("unknown_field", "There is no field of this name. The file goes into `file`.")
    assert found["file"][0] == "required"
