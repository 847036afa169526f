"""Documents sealed with AES-256-GCM in chunks, each under a key of its own that a key-encryption key wraps.

The format is frozen (``tests/vectors/documents.json`` holds samples of it)::

    document = MAGIC chunk*                     chunk = AES-256-GCM(data key, nonce, 64 KiB of clear text or less)
    nonce    = number of the chunk (11 bytes, big-endian), 1 for the last chunk or 0 for others (1 byte)
    data     = MAGIC, number (8 bytes), last (1 byte), document id       (authenticated with each chunk)
    envelope = WRAPPED, nonce (12 random bytes), AES-256-GCM(key-encryption key, nonce, data key)
    data     = WRAPPED, length of the key id (1 byte), key id, document id    (authenticated with the data key)

Chunks are numbered and the last is marked, as in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), so
that none can be left out, moved or appended. A data key seals one document, hence a nonce is never used twice. The
envelope is kept beside the document: to rotate keys is to wrap data keys anew, and the documents stay as they are.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace_api.config.parsing import NEW_DOCUMENT_KEY, Mistake, SettingsError, document_keys
from marketplace_api.config.settings import Settings
from marketplace_api.config.validation import DEVELOPMENT_SECRET

MAGIC = b"MKTDOC\x00\x01"
WRAPPED = b"MKTKEY\x00\x01"
CHUNK = 64 * 1024
TAG = 16
NONCE = 12
KEY = 32
DEVELOPMENT_KEY_ID = "development"


class DamagedDocument(ValueError):
    """What was kept is not what was sealed: changed, cut short, or of another document."""


class UnknownKey(LookupError):
    """The key-encryption key of an envelope is not among ours."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The key of one document, wrapped under the key-encryption key of this id."""

    key_id: str
    wrapped: bytes = field(repr=False)


class DocumentKeys:
    """Key-encryption keys by id: the first seals, all open, so that keys can be rotated while documents are read."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Takes keys of 32 bytes by id, in order; at least one."""
        self.current = next(iter(keys))
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys; the first is the one that seals."""
        return tuple(self._keys)

    @classmethod
    def from_settings(cls, settings: Settings) -> DocumentKeys:
        """The keys that the settings name; in development, where they name none, one that follows from the secret.

        Raises :class:`SettingsError`, showing no key.
        """
        if settings.document_keys:
            keys = document_keys(settings.document_keys)
            if _derived(DEVELOPMENT_SECRET) in keys.values():
                told = "DOCUMENT_KEYS (documents.keys) names the key of development, which is public."
                raise SettingsError(Mistake(told, NEW_DOCUMENT_KEY))
            return cls(keys)
        return cls({DEVELOPMENT_KEY_ID: _derived(settings.secret)})

    def knows(self, key_id: str) -> bool:
        """Whether what is sealed under this key can be opened."""
        return key_id in self._keys

    def seal(self, document_id: str, stream: IO[bytes]) -> tuple[Envelope, Iterator[bytes]]:
        """Envelope and sealed chunks of what is left of ``stream``; no more of it than two chunks is held at a time."""
        key = AESGCM.generate_key(KEY * 8)
        return self._wrap(document_id, key), seal_chunks(key, document_id, stream)

    def open(self, document_id: str, envelope: Envelope, sealed: Iterable[bytes]) -> Iterator[bytes]:
        """The clear text by chunks, each held to be genuine; it is complete only when the iterator ends.

        ``sealed`` comes in pieces of any size. Raises :class:`DamagedDocument` and :class:`UnknownKey`.
        """
        return open_chunks(self._unwrap(document_id, envelope), document_id, sealed)

    def rewrap(self, document_id: str, envelope: Envelope) -> Envelope:
        """The same key under the current key-encryption key. Raises as :meth:`open`."""
        return self._wrap(document_id, self._unwrap(document_id, envelope))

    def _wrap(self, document_id: str, key: bytes) -> Envelope:
        nonce = os.urandom(NONCE)
        wrapped = self._keys[self.current].encrypt(nonce, key, _key_data(self.current, document_id))
        return Envelope(self.current, WRAPPED + nonce + wrapped)

    def _unwrap(self, document_id: str, envelope: Envelope) -> bytes:
        if envelope.key_id not in self._keys:
            raise UnknownKey(f"there is no key {envelope.key_id!r}")
        head, content = envelope.wrapped[: len(WRAPPED)], envelope.wrapped[len(WRAPPED) :]
        if head != WRAPPED or len(content) != NONCE + KEY + TAG:
            raise DamagedDocument("no envelope")
        try:
            data = _key_data(envelope.key_id, document_id)
            return self._keys[envelope.key_id].decrypt(content[:NONCE], content[NONCE:], data)
        except InvalidTag as error:
            raise DamagedDocument("the envelope was changed or is another document's") from error


def generate_key() -> str:
    """A new key-encryption key in base64url, as ``documents.keys`` wants it behind ``kid:``."""
    return base64.urlsafe_b64encode(AESGCM.generate_key(KEY * 8)).rstrip(b"=").decode("ascii")


def seal_chunks(key: bytes, document_id: str, stream: IO[bytes]) -> Iterator[bytes]:
    """What is left of ``stream``, sealed under ``key``, which seals nothing else."""
    cipher = AESGCM(key)
    yield MAGIC
    number, present = 0, stream.read(CHUNK)
    while True:
        # Whether a chunk is the last is told by the one behind it.
        following = stream.read(CHUNK) if len(present) == CHUNK else b""
        last = not following
        yield cipher.encrypt(_nonce(number, last=last), present, _chunk_data(number, document_id, last=last))
        if last:
            return
        number, present = number + 1, following


def open_chunks(key: bytes, document_id: str, sealed: Iterable[bytes]) -> Iterator[bytes]:
    """The reverse of :func:`seal_chunks`; raises :class:`DamagedDocument`."""
    cipher = AESGCM(key)
    for number, (chunk, last) in enumerate(_cut(sealed)):
        try:
            nonce, data = _nonce(number, last=last), _chunk_data(number, document_id, last=last)
            yield cipher.decrypt(nonce, chunk, data)
        except InvalidTag as error:
            raise DamagedDocument(f"chunk {number} is not as it was sealed") from error


def _cut(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The sealed chunks and whether each is the last: the one that is short, or behind which nothing comes."""
    held, begun = bytearray(), False
    for piece in pieces:
        held += piece
        if not begun and len(held) >= len(MAGIC):
            _require_magic(held)
            begun = True
        while begun and len(held) > CHUNK + TAG:
            yield bytes(held[: CHUNK + TAG]), False
            del held[: CHUNK + TAG]
    if not begun or len(held) < TAG:
        raise DamagedDocument("it is cut short")
    yield bytes(held), True


def _require_magic(held: bytearray) -> None:
    if held[: len(MAGIC)] != MAGIC:
        raise DamagedDocument("it is no sealed document")
    del held[: len(MAGIC)]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(NONCE - 1, "big") + bytes([last])


def _chunk_data(number: int, document_id: str, *, last: bool) -> bytes:
    return MAGIC + number.to_bytes(8, "big") + bytes([last]) + document_id.encode()


def _key_data(key_id: str, document_id: str) -> bytes:
    return WRAPPED + bytes([len(key_id)]) + key_id.encode() + document_id.encode()


def _derived(secret: str) -> bytes:
    return HKDF(SHA256(), KEY, salt=None, info=b"documents").derive(secret.encode())
