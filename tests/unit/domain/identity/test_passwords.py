"""Hashing, checking and judging passwords."""

from __future__ import annotations

import unicodedata

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace_api.domain.identity import passwords

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)


def judge(password: str, username: str = "bob", email: str = "robert@people.example") -> list[str]:
    return [error.code for error in passwords.weaknesses(password, username=username, email=email)]


@given(password=ANY_TEXT)
@settings(max_examples=60, deadline=None)
def test_a_password_matches_its_own_hash(password: str) -> None:
    hashed = passwords.hash_password(password, 4)
    assert passwords.verify_password(password, hashed)
    assert not passwords.verify_password(password + "x", hashed)
    assert len(hashed) == 60


@given(
    start=st.binary(min_size=72, max_size=90).map(lambda raw: raw.decode("latin-1")), end=st.characters(codec="utf-8")
)
@settings(max_examples=30, deadline=None)
def test_what_comes_after_72_bytes_counts(start: str, end: str) -> None:
    hashed = passwords.hash_password(start + end, 4)
    same = unicodedata.normalize("NFC", start + end) == unicodedata.normalize("NFC", start)
    assert passwords.verify_password(start, hashed) is same


@given(before=ANY_TEXT, after=ANY_TEXT)
@settings(max_examples=30, deadline=None)
def test_what_comes_after_a_nul_counts(before: str, after: str) -> None:
    hashed = passwords.hash_password(f"{before}\x00{after}", 4)
    assert not passwords.verify_password(f"{before}\x00{after}!", hashed)
    assert not passwords.verify_password(before, hashed)


@given(password=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_composed_and_decomposed_forms_are_one_password(password: str) -> None:
    hashed = passwords.hash_password(unicodedata.normalize("NFC", password), 4)
    assert passwords.verify_password(unicodedata.normalize("NFD", password), hashed)


@pytest.mark.parametrize(
    "hashed", ["", "x", "$2b$04$short", "$2b$99$" + "a" * 53, "$argon2id$v=19$m=1", "\x00" * 60, "é" * 60]
)
def test_nothing_matches_what_is_no_hash(hashed: str) -> None:
    assert passwords.verify_password("kettle orbit", hashed) is False
    assert passwords.needs_upgrade(hashed, 4)


def test_a_hash_of_another_cost_needs_an_upgrade() -> None:
    hashed = passwords.hash_password("kettle orbit", 4)
    assert not passwords.needs_upgrade(hashed, 4)
    assert passwords.needs_upgrade(hashed, 5)


def test_everybody_costs_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody, a hash of today's cost and one of an older cost: 2**cost rounds each."""
    old, today = passwords.hash_password("kettle", 4), passwords.hash_password("kettle", 7)
    spent: list[int] = []
    hashpw, checkpw = bcrypt.hashpw, bcrypt.checkpw

    def count_hash(password: bytes, salt: bytes) -> bytes:
        spent.append(2 ** int(salt[4:6]))
        return hashpw(password, salt)

    def count_check(password: bytes, hashed: bytes) -> bool:
        spent.append(2 ** int(hashed[4:6]))
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "hashpw", count_hash)
    monkeypatch.setattr(bcrypt, "checkpw", count_check)
    for hashed, right in ((None, False), (old, True), (today, True)):
        spent.clear()
        assert passwords.matches("kettle", hashed, 7) is right
        assert sum(spent) == 2**7
    spent.clear()
    passwords.verify_against_nobody("kettle", 7)
    assert sum(spent) == 2**7


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "kettle-orbit-fudge",
        "tr0ub4dor&3x",
        "пароль от сарая",
        "日本語のパスワードです",
        "xxxxxkettle",
    ],
)
def test_good_passwords_pass(password: str) -> None:
    assert judge(password) == []


@pytest.mark.parametrize(
    "password",
    [
        "password123!",
        "P@ssw0rd1234",
        "qwertyuiop",
        "QWERTYUIOP",
        "abcdefghij",
        "zyxwvutsrq",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "passwordpassword",
        "1234567890",
        "7890123456",
        "Summer2024!",
        "iloveyou!!",
        "1q2w3e4r5t",
        "letmeinletmein",
        "0000000000",
        "poiuytrewq",
        "１２３４５６７８９０",
    ],
)
def test_common_passwords_are_named_so(password: str) -> None:
    assert judge(password) == ["too_common"]


def test_every_listed_password_is_long_enough_to_need_listing() -> None:
    assert min(map(len, passwords._COMMON)) >= passwords.MINIMUM_LENGTH


def test_lengths_are_those_of_characters() -> None:
    assert judge("ü7-kettl!") == ["too_short"]
    assert judge("ü7-kettle!") == []
    assert judge("") == ["too_short"]
    assert judge("kettle orbit " * 100) == ["too_long"]
    assert judge(("kettle orbit " * 100)[:1024]) == []


def test_names_are_found_whatever_their_case() -> None:
    assert judge("my-BOB-kettle") == ["contains_username"]
    assert judge("xx Robert xx") == ["contains_email"]
    assert judge("xx robert@people.example xx") == ["contains_email"]
    assert judge("robert-and-bob") == ["contains_username", "contains_email"]
    assert judge("kettle orbit", username="ke", email="or@people.example") == []


def test_errors_name_the_field_and_speak() -> None:
    found = passwords.weaknesses("bob", username="bob", email="b@people.example", field="newPassword")
    assert {error.name for error in found} == {"newPassword"}
    assert {error.location for error in found} == {"body"}
    assert all(error.message.endswith(".") for error in found)
