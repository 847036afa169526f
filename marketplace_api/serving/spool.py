"""Where bodies wait: the beginning in memory, the rest on the disk under a key that nobody else ever has.

Some bodies are documents that no disk may see unencrypted (decision 11), and nobody knows yet which.
"""

from __future__ import annotations

import io
import os
import tempfile
from typing import IO, Any

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

IN_MEMORY = 64 * 1024  # bytes of each body
READ_AT_ONCE = 64 * 1024  # bytes
_KEY, _NONCE = 32, 16  # bytes


class Spool:
    """One body, written from its beginning to its end and then read once."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = io.BytesIO()
        self._file: IO[bytes] | None = None
        self._cipher: Cipher[Any] | None = None
        self._encryptor: CipherContext | None = None

    def write(self, data: bytes) -> None:
        """Add to the end. Raises OSError where the disk has no room."""
        self.size += len(data)
        if self._file is None and self.size <= IN_MEMORY:
            self._memory.write(data)
            return
        if self._file is None:
            self._overflow()
        assert self._file is not None and self._encryptor is not None
        self._file.write(self._encryptor.update(data))

    def _overflow(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        # A stream cipher will do: whoever could change the file could change this process as well.
        self._cipher = Cipher(algorithms.AES(os.urandom(_KEY)), modes.CTR(os.urandom(_NONCE)))
        self._encryptor = self._cipher.encryptor()
        self._file.write(self._encryptor.update(self._memory.getvalue()))
        self._memory = io.BytesIO()

    def reader(self) -> IO[bytes]:
        """The whole body, once nothing is written any more. Raises OSError where the disk has no room."""
        if self._file is None or self._cipher is None:
            self._memory.seek(0)
            return self._memory
        self._file.seek(0)
        return io.BufferedReader(_Decrypted(self._file, self._cipher.decryptor()), READ_AT_ONCE)

    def close(self) -> None:
        """Give back what it took."""
        if self._file is not None:
            self._file.close()
        self._memory.close()


class _Decrypted(io.RawIOBase):
    def __init__(self, file: IO[bytes], decryptor: CipherContext) -> None:
        super().__init__()
        self._inner, self._decryptor = file, decryptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._decryptor.update(self._inner.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)
