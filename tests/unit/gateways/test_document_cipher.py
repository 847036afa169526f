"""Sealed documents: the frozen format, and that nothing can be changed, cut off, moved or exchanged unnoticed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from marketplace_api.config.settings import DEVELOPMENT_SECRET, Settings, SettingsError
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways import document_cipher as cipher
from marketplace_api.gateways.document_cipher import (
    CHUNK,
    MAGIC,
    TAG,
    DamagedDocument,
    DocumentKeys,
    Envelope,
    UnknownKey,
    generate_key,
)

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "documents.json").read_text())
SIZES = (1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5)
ID = "7:document-00112233445566778899aabbccddeeff.bin"
GOOD_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
FIRST = DocumentKeys({"one": bytes(range(32))})


def clear_text(size: int) -> bytes:
    return bytes((number * 7 + number // 251) % 256 for number in range(size))


def sealed(size: int, document_id: str = ID, keys: DocumentKeys = FIRST) -> tuple[Envelope, bytes]:
    envelope, chunks = keys.seal(document_id, BytesIO(clear_text(size)))
    return envelope, b"".join(chunks)


def opened(envelope: Envelope, content: bytes, document_id: str = ID, keys: DocumentKeys = FIRST) -> bytes:
    return b"".join(keys.open(document_id, envelope, [content]))


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def chunks_of(content: bytes) -> list[bytes]:
    return list(pieces(content[len(MAGIC) :], CHUNK + TAG))


@pytest.mark.parametrize("vector", VECTORS["documents"], ids=lambda vector: str(vector["size"]))
def test_the_format_is_what_it_was(vector: dict[str, Any]) -> None:
    """What was sealed once must open for ever, and what is sealed today must be what it was."""
    keys = DocumentKeys({VECTORS["key_id"]: bytes.fromhex(VECTORS["key"])})
    envelope = Envelope(VECTORS["key_id"], bytes.fromhex(vector["envelope"]))
    content, data_key = clear_text(vector["size"]), bytes.fromhex(vector["data_key"])
    again = b"".join(cipher.seal_chunks(data_key, vector["document_id"], BytesIO(content)))
    assert hashlib.sha256(again).hexdigest() == vector["sealed_sha256"]
    if "sealed" in vector:
        again = bytes.fromhex(vector["sealed"])
    assert opened(envelope, again, vector["document_id"], keys) == content


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens_whatever_its_pieces(size: int) -> None:
    envelope, content = sealed(size)
    chunks = -(-size // CHUNK)
    assert len(content) == len(MAGIC) + size + chunks * TAG
    for piece in (7, 1000, CHUNK, CHUNK + TAG, len(content)):
        if len(content) // piece < 10_000:
            assert b"".join(FIRST.open(ID, envelope, pieces(content, piece))) == clear_text(size)
    assert clear_text(size)[:16] not in content or size < 16


def test_it_is_sealed_while_it_comes_in() -> None:
    class Counting(BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 < size <= CHUNK
            self.most = self.tell()
            return super().read(size)

    stream = Counting(clear_text(5 * CHUNK))
    _envelope, chunks = FIRST.seal(ID, stream)
    assert next(chunks) == MAGIC and stream.most == 0
    next(chunks)
    assert stream.tell() == 2 * CHUNK


def test_no_two_sealings_are_alike() -> None:
    one, other = sealed(100), sealed(100)
    assert one[0].wrapped != other[0].wrapped
    assert one[1] != other[1]


@pytest.mark.parametrize("size", (40, CHUNK + 40))
def test_a_flipped_bit_anywhere(size: int) -> None:
    envelope, content = sealed(size)
    places = [*range(len(MAGIC) + 64), *range(CHUNK, CHUNK + 64), *range(len(content) - 64, len(content))]
    for place in {place for place in places if 0 <= place < len(content)}:
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(DamagedDocument):
            opened(envelope, bytes(changed))
    for place in range(len(envelope.wrapped)):
        changed = bytearray(envelope.wrapped)
        changed[place] ^= 1
        with pytest.raises(DamagedDocument):
            opened(replace(envelope, wrapped=bytes(changed)), content)


@pytest.mark.parametrize("size", (3 * CHUNK, 3 * CHUNK + 5))
def test_cut_short_at_any_border(size: int) -> None:
    envelope, content = sealed(size)
    chunks = chunks_of(content)
    for kept in range(len(chunks)):
        with pytest.raises(DamagedDocument):
            opened(envelope, MAGIC + b"".join(chunks[:kept]))
    for end in (0, 3, len(MAGIC), len(MAGIC) + 5, len(content) - 1, len(content) - TAG):
        with pytest.raises(DamagedDocument):
            opened(envelope, content[:end])


def test_chunks_left_out_moved_repeated_and_appended() -> None:
    envelope, content = sealed(4 * CHUNK)
    one, two, three, last = chunks_of(content)
    for wrong in (
        [two, three, last],
        [one, three, last],
        [two, one, three, last],
        [one, two, three, last, last],
        [one, one, two, three, last],
        [one, two, last, three],
        [one, two, three, last, b"more"],
    ):
        with pytest.raises(DamagedDocument):
            opened(envelope, MAGIC + b"".join(wrong))


def test_exchanged_documents_and_envelopes() -> None:
    other_id = ID.replace("7:", "8:")
    mine, theirs = sealed(100), sealed(100, other_id)
    for document_id, envelope, content in (
        (ID, mine[0], theirs[1]),
        (ID, theirs[0], mine[1]),
        (ID, theirs[0], theirs[1]),
        (other_id, mine[0], mine[1]),
    ):
        with pytest.raises(DamagedDocument):
            opened(envelope, content, document_id)


def test_keys_are_rotated_without_touching_documents() -> None:
    envelope, content = sealed(100)
    both = DocumentKeys({"two": bytes(range(1, 33)), "one": bytes(range(32))})
    assert opened(envelope, content, keys=both) == clear_text(100)
    renewed = both.rewrap(ID, envelope)
    assert renewed.key_id == "two"
    second = DocumentKeys({"two": bytes(range(1, 33))})
    assert opened(renewed, content, keys=second) == clear_text(100)
    for call in (lambda: opened(envelope, content, keys=second), lambda: second.rewrap(ID, envelope)):
        with pytest.raises(UnknownKey):
            call()
    # A key of the same name that is another one does not open it either.
    with pytest.raises(DamagedDocument):
        opened(replace(renewed, key_id="one"), content, keys=both)
    with pytest.raises(DamagedDocument):
        both.rewrap("8:another", envelope)


@pytest.mark.parametrize(
    "setting",
    [
        " , ",
        "one",
        "one:",
        "one:AAAA",
        "one:" + "A" * 43,
        "one:" + "*" * 43,
        "one:" + "é" * 43,
        f"a b:{GOOD_KEY}",
        f":{GOOD_KEY}",
        f"one:{GOOD_KEY},one:{GOOD_KEY}",
    ],
)
def test_bad_keys_are_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="DOCUMENT_KEYS") as caught:
        DocumentKeys.from_settings(Settings(document_keys=setting))
    key = setting.partition(":")[2][:43]
    assert len(key) < 8 or key not in str(caught.value)


def test_the_development_key_is_refused_where_somebody_names_it() -> None:
    known = base64.b64encode(cipher._derived(DEVELOPMENT_SECRET)).decode()
    with pytest.raises(SettingsError, match="public"):
        DocumentKeys.from_settings(Settings(document_keys=f"one:{known}"))


def test_keys_from_settings() -> None:
    text = generate_key()
    keys = DocumentKeys.from_settings(Settings(document_keys=f"new:{text}, old:{generate_key()}"))
    assert keys.current == "new"
    padded = text.replace("-", "+").replace("_", "/") + "="
    again = DocumentKeys.from_settings(Settings(document_keys=f"new:{padded}"))
    assert opened(*sealed(10, keys=keys), keys=again) == clear_text(10)
    in_development = DocumentKeys.from_settings(Settings())
    assert in_development.current == cipher.DEVELOPMENT_KEY_ID
    assert opened(*sealed(10, keys=in_development), keys=DocumentKeys.from_settings(Settings())) == clear_text(10)
    assert "wrapped" not in repr(Envelope("one", b"secret"))


def test_production_asks_for_keys() -> None:
    given = {
        "MARKETPLACE_ENVIRONMENT": "production",
        "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
        "JWT_KEYS": f"one:{generate_seed()}",
        "DATABASE_URL": "postgresql://h/x",
        "EMAIL_BACKEND": "local",
        "PUBLIC_URL": "https://market.example",
    }
    with pytest.raises(SettingsError, match="DOCUMENT_KEYS"):
        Settings.load({}, given)
    assert Settings.load({}, {**given, "DOCUMENT_KEYS": f"one:{generate_key()}"}).production
    with pytest.raises(SettingsError, match="DOCUMENT_KEEP_DAYS"):
        Settings.load({}, {"DOCUMENT_KEEP_DAYS": "-1"})
