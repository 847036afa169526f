"""What cannot be sent to be verified, and what becomes of names and of requests that are sent again."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import People
from tests.factories.images import make_image
from tests.factories.verifications import PNG
from tests.functional.test_verifications import OWN, PDF, send, waiting
from tests.support.client import Client, Named, multipart
from tests.support.problems import assert_problem, named


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (Named("a.png", "image/png", b""), "empty_file"),
        (Named("a.png", "application/pdf", PNG), "wrong_content_type"),
        (Named("a.pdf", "image/png", PDF), "wrong_content_type"),
        (Named("a.pdf", "text/html", PDF), "wrong_content_type"),
        (Named("a.html", "text/html", b"<html><script>alert(1)</script>"), "wrong_content"),
        (Named("a.webp", "image/webp", make_image("WEBP")), "wrong_content"),
        (Named("a.pdf", "application/pdf", PDF[:-30]), "broken_file"),
        (Named("a.png", "image/png", PNG[: len(PNG) // 2]), "broken_file"),
        (Named("a.pdf", "application/pdf", PDF + b"PK\x05\x06" + bytes(18)), "hidden_content"),
    ],
)
def test_files_that_are_refused(file: Named, code: str, owner: Client, db: Session) -> None:
    assert named(assert_problem(send(owner, file), 400, "invalid_file")) == {"file": code}
    assert owner.get(OWN).json["status"] == "none"
    assert db.execute(sa.select(sa.func.count()).where(File.owner_id == owner.user.user_id)).scalar_one() == 0


def test_forms_that_are_refused(owner: Client, app: Any, settings: Settings) -> None:
    file = Named("a.png", "image/png", PNG)
    for fields, expected in (
        ({"document_type": "library_card", "file": file}, {"document_type": "not_a_choice"}),
        ({"file": file}, {"document_type": "required"}),
        ({"document_type": "pass\x00port", "file": file}, {"document_type": "not_a_choice"}),
        ({"document_type": "passport", "status": "approved", "file": file}, {"status": "unknown_field"}),
    ):
        body = assert_problem(owner.request("POST", OWN, fields), 400, "invalid_input")
        assert named(body) == expected
    kind, raw = multipart({"document_type": "passport"})
    lost = owner.request("POST", OWN, raw=raw, headers={"Content-Type": kind})
    assert named(assert_problem(lost, 400, "invalid_input")) == {"file": "required"}
    assert_problem(owner.post(OWN, {"document_type": "passport"}), 415, "unsupported_media_type")
    giant = Named("a.pdf", "application/pdf", PDF + bytes(settings.document_limit))
    assert_problem(send(owner, giant), 413, "body_too_large")
    assert owner.get(OWN).json["status"] == "none"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("..\\..\\boot.png", "boot.png"),
        ("..", ".."),
        ("", "passport.png"),
        ("/", "passport.png"),
        ("é€漢.png", "é€漢.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 400 + ".png", "x" * 146 + ".png"),
        ("<script>.png", "<script>.png"),
    ],
)
def test_names_are_only_shown(given: str, shown: str, people: People, moderator: Client) -> None:
    owner = people.customer()
    path = waiting(owner, moderator, Named(given, "image/png", PNG))
    assert owner.get(OWN).json["documents"][0]["name"] == shown
    answer = moderator.get(f"{path}/document?reason=Routine")
    assert shown not in answer.headers["Content-Disposition"] or shown == ".."


def test_a_name_with_a_nul(owner: Client) -> None:
    answer = send(owner, Named("a\x00b.png", "image/png", PNG))
    if answer.status_int == 200:
        assert "\x00" not in owner.get(OWN).json["documents"][0]["name"]
    else:
        assert_problem(answer, 400, "malformed_body")
        assert owner.get(OWN).json["status"] == "none"


def test_a_repeated_request_gives_the_same_answer(owner: Client, db: Session) -> None:
    kind, raw = multipart({"document_type": "id_card", "file": Named("a.png", "image/png", PNG)})
    sent = {"Content-Type": kind, "Idempotency-Key": "once"}
    first = owner.request("POST", OWN, raw=raw, headers=sent)
    again = owner.request("POST", OWN, raw=raw, headers=sent)
    assert (first.status_int, again.status_int, again.headers["Idempotent-Replayed"]) == (200, 200, "true")
    assert db.execute(sa.select(sa.func.count()).select_from(Verification)).scalar_one() == 1
