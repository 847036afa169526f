"""What a terminal would obey, and what keyboards send."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_api import characters

ANY_TEXT = st.text(st.characters(codec=None))
STEERING = [
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),
    *"\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\u2060\ufeff\xad",
]


@pytest.mark.parametrize("character", STEERING, ids=lambda character: f"U+{ord(character):04X}")
def test_what_steers_a_terminal_is_shown(character: str) -> None:
    shown = characters.visible(f"a{character}b")
    assert shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")


@given(ANY_TEXT)
def test_nothing_that_is_printed_is_a_control(text: str) -> None:
    for shown, kept in ((characters.visible(text), ""), (characters.visible_lines(text), "\n\t")):
        assert not [letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cs") and letter not in kept]
    colored = characters.visible_colored(text)
    assert all(part[:1] == "[" for part in colored.split("\x1b")[1:])


@given(ANY_TEXT)
def test_json_keeps_its_value(text: str) -> None:
    document = json.dumps({text: [text]}, ensure_ascii=False, indent=2)
    shown = characters.visible_json(document)
    assert json.loads(shown) == {text: [text]}
    assert not [letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cs") and letter != "\n"]


@pytest.mark.parametrize(
    "text", ["Müller & Söhne", "東京", "می‌خواهم", "👩‍👩‍👧", "क्‍ष", "non\xa0breaking", "1 000 €"], ids=ascii
)
def test_what_people_write_stays(text: str) -> None:
    assert characters.visible(text) == text


def test_colours_stay_and_nothing_else() -> None:
    assert characters.visible_colored("\x1b[1;31mred\x1b[0m\x1b[2J\x1b]52;c;aGk=\x07") == (
        "\x1b[1;31mred\x1b[0m\\x1b[2J\\x1b]52;c;aGk=\\x07"
    )


@pytest.mark.parametrize("line_break", ["\r\n", "\r", "\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"], ids=ascii)
def test_every_line_break_is_one_line_feed(line_break: str) -> None:
    assert characters.folded_lines(f"\ufeffone{line_break}two") == "one\ntwo"
