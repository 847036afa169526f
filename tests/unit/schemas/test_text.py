"""Text as keyboards, forms and word processors send it, and what is refused of it."""

from __future__ import annotations

import colander
import pytest

from marketplace_api import app  # noqa: F401 - all operations are declared once the views are imported
from marketplace_api.hal import affordances
from marketplace_api.schemas.base import field_errors, validated
from marketplace_api.schemas.catalog.listings import CreateListing, EditListing, SearchListings
from marketplace_api.schemas.types import ListOf, Nullable, Text
from marketplace_api.schemas.web_address import WebAddress, is_public_name

LINE_BREAKS = ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"]
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\x0b\x0c\r\x85"]


def read(typ: Text, value: str) -> str:
    return typ.check(colander.SchemaNode(typ, name="field"), value)


def refusal(typ: Text, value: str) -> str:
    with pytest.raises(colander.Invalid) as caught:
        read(typ, value)
    return str(caught.value.code)  # type: ignore[attr-defined]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"U+{ord(control):04X}")
@pytest.mark.parametrize("lines", [False, True])
def test_no_control_comes_in(lines: bool, control: str) -> None:
    typ = Text(50, lines=lines)
    assert refusal(typ, f"a{control}b") == "invalid_characters"


def test_the_control_is_named() -> None:
    with pytest.raises(colander.Invalid, match=r"U\+001B"):
        read(Text(50), "a\x1b[2Jb")


@pytest.mark.parametrize("line_break", LINE_BREAKS, ids=ascii)
def test_line_breaks_are_one_in_texts_and_none_in_a_line(line_break: str) -> None:
    assert read(Text(50, lines=True), f"one{line_break}two") == "one\ntwo"
    assert refusal(Text(50), f"one{line_break}two") == "line_break"
    assert read(Text(50), f"one{line_break}") == "one", "at the end it comes with pasting"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("\ufeffFrom a file", "From a file"),
        ("a\tb", "a b"),
        ("12\xa0km", "12\xa0km"),
        ("soft\xadhyphen", "soft\xadhyphen"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200fשלום\u200e", "\u200fשלום\u200e"),
    ],
    ids=ascii,
)
def test_what_telephones_send_is_taken(sent: str, kept: str) -> None:
    assert read(Text(50), sent) == kept


def test_tabs_stay_in_texts() -> None:
    assert read(Text(50, lines=True), "a\tb") == "a\tb"


@pytest.mark.parametrize("password", ["tab\tand\x1bescape", " \ufeffblanks ", "two\r\nlines"], ids=ascii)
def test_what_is_exact_is_left_alone(password: str) -> None:
    assert read(Text(50, strip=False, secret=True), password) == password


def test_words_to_look_for_may_have_lines() -> None:
    assert SearchListings().deserialize({"search": "red\r\nbicycle"})["search"] == "red bicycle"


def texts(node: colander.SchemaNode, path: str = "") -> dict[str, Text]:
    """Every text below a node, by its dotted path."""
    found = {}
    for child in node.children:
        name, typ = f"{path}{child.name}", child.typ
        while isinstance(typ, Nullable | ListOf):
            typ = typ.inner if isinstance(typ, Nullable) else typ.item
        if isinstance(typ, Text):
            found[name] = typ
        found |= texts(child, f"{name}.")
    return found


def test_which_fields_have_lines() -> None:
    """Each new field has to say what it is."""
    lines = {
        name
        for operation in affordances.ALL
        if operation.body is not None
        for name, typ in texts(operation.body).items()
        if typ.lines
    }
    assert lines == {"bio", "comment", "contact_information.address", "content", "description", "reason", "reply"}


BAD = "Old\x1b[2J title"
STORED = {"title": BAD, "photos_urls": ["http://10.0.0.1/a'b.jpg"], "location": {"city": "A\x07", "address": "B"}}


def test_what_was_kept_under_older_rules_may_be_sent_back() -> None:
    sent = {"title": BAD, "description": "New", "photos_urls": STORED["photos_urls"], "location": {"city": "A\x07"}}
    found = validated(EditListing(), sent, lambda: STORED)
    assert found == sent


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ({"title": BAD + "!"}, "title"),
        ({"photos_urls": ["http://10.0.0.1/other.jpg"]}, "photos_urls.0"),
        ({"location": {"city": "A\x08"}}, "location.city"),
    ],
)
def test_another_value_is_held_to_the_rules(sent: dict[str, object], path: str) -> None:
    with pytest.raises(colander.Invalid) as caught:
        validated(EditListing(), sent, lambda: STORED)
    assert [error.name for error in field_errors(caught.value, "body")] == [path]


def test_a_new_thing_has_no_older_rules() -> None:
    with pytest.raises(colander.Invalid):
        validated(CreateListing(), {"title": BAD, "category": "cars", "price": 1}, lambda: STORED)


@pytest.mark.parametrize(
    "address",
    [
        "https://photos.example.com/1.jpg",
        "https://photos.example.com:8443/1.jpg?a=b|c#d",
        "https://my_bucket.s3.amazonaws.com/x",
        "https://müller.de/bild.jpg",
        "https://xn--mller-kva.de/x",
        "https://93.184.216.34/x",
        "https://example.com.",
        "https://例え.jp/写真",
    ],
)
def test_a_public_address_is_taken(address: str) -> None:
    assert read(WebAddress(), address) == address


@pytest.mark.parametrize(
    "address",
    [
        "http://photos.example.com/1.jpg",
        "javascript:alert(document.domain)",
        "https://user:secret@photos.example.com/",
        "https://photos.example.com@10.0.0.1/",
        "https://photos.example.com\\@10.0.0.1/",
        'https://photos.example.com/"onerror=alert(1)',
        "https://photos.example.com/'x",
        "https://photos.example.com/<b>",
        "https://photos.example.com/a b",
        "https://photos.example.com/a\tb",
        "https://photos.example.com/a\u202eb",
        "https://photos.example.com/a\u200bb",
        "https://photos.example.com:0/",
        "https://photos.example.com:65536/",
        "https://photos.example.com:/",
        "https:///photos.example.com",
        "https://photos",
        "https://localhost/x",
        "https://LOCALHOST./x",
        "https://a.localhost/x",
        "https://ｌｏｃａｌｈｏｓｔ.localdomain/x",
        "https://printer.local/x",
        "https://metadata.google.internal/x",
        "https://router.home.arpa/x",
        "https://127.0.0.1/x",
        "https://127.1/xxxx",
        "https://2130706433/x",
        "https://0x7f.0.0.1/x",
        "https://0x7f000001/x",
        "https://010.0.0.1/x",
        "https://１０.0.0.1/x",
        "https://10。0。0。1/x",
        "https://10.1.2.3/x",
        "https://172.16.0.1/x",
        "https://192.168.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/xxxxx",
        "https://[::ffff:10.0.0.1]/x",
        "https://-a.example.com/",
        "https://a..example.com/",
        f"https://{'a' * 64}.example.com/",
    ],
)
def test_any_other_address_is_refused(address: str) -> None:
    assert refusal(WebAddress(), address) in ("wrong_format", "address_refused", "line_break")


def test_names_are_no_longer_than_dns_has_them() -> None:
    assert is_public_name(".".join(["a" * 61] * 4))
    assert not is_public_name(".".join(["a" * 63] * 4))


def test_what_is_called_may_be_of_any_host_by_its_form() -> None:
    assert read(WebAddress(called=True), "http://127.0.0.1:8000/hook") == "http://127.0.0.1:8000/hook"
    assert refusal(WebAddress(called=True), "http://127.0.0.1/'") == "wrong_format"
