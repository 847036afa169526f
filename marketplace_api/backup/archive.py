"""The one file of a backup: a plain tar archive that is written and read as a stream, in constant memory.

Members, in this order: ``database.dump``, ``files.jsonl``, ``files/KEY`` for each file, ``manifest.json``, ``SHA256SUMS``.
Whatever is cut short lacks the last of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from marketplace_api.errors import Conflict, DomainError

DUMP, LISTING, MANIFEST, SUMS, FILES = "database.dump", "files.jsonl", "manifest.json", "SHA256SUMS", "files/"
BLOCK = tarfile.BLOCKSIZE
CHUNK = 1024 * 1024
MOST_TEXT = 64 * 1024 * 1024
"""No manifest is larger; a damaged header must not fill the memory."""


class BackupError(DomainError):
    """A backup cannot be made, read or restored; the sentence says why and what to do."""


class Part:
    """A member that is being written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.is_dropped = False

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def drop(self) -> None:
        """Leave the member out after all."""
        self.is_dropped = True


class Writer:
    """Writes ``FILE.part``, for its owner only, and gives it its name when it is whole and on the disk.

    A ``with`` block that raises, or does not come to :meth:`finish`, leaves nothing behind; what a killed process left
    is used by the next one. Raises Conflict where the file exists (unless it is to ``replace``) or another process is
    writing it, else BackupError.
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        self.path = path
        self._replace = replace
        self._part = path.with_name(f"{path.name}.part")
        self._sums: list[str] = []
        if os.path.lexists(path) and not replace:
            raise Conflict(f"{path} is there already: choose another name.")
        with self._explained():
            self._file = self._claim()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            with suppress(OSError):
                self._part.unlink()
            with suppress(OSError):  # what a full disk did not take is tried once more here
                self._file.close()

    @contextmanager
    def member(self, name: str) -> Iterator[Part]:
        """A member whose size is known when the block ends; one of the main parts is listed in ``SHA256SUMS``."""
        with self._explained():
            start = self._file.tell()
            self._file.write(_header(name, 0))
        part = Part(self._file)
        with self._explained():
            yield part
            if part.is_dropped:
                self._file.seek(start)
                self._file.truncate()
                return
            self._file.write(bytes(-part.size % BLOCK))
            end = self._file.tell()
            self._file.seek(start)
            self._file.write(_header(name, part.size))
            self._file.seek(end)
        if not name.startswith(FILES):
            self._sums.append(f"{part.sha256}  {name}\n")

    def finish(self) -> int:
        """Give the file its name; returns its size in bytes."""
        sums = "".join(self._sums).encode()
        with self.member(SUMS) as part:
            part.write(sums)
        with self._explained():
            self._file.write(bytes(2 * BLOCK))
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._name()
            self._file.close()
        return size

    def _name(self) -> None:
        try:
            if self._replace:
                self._part.replace(self.path)
            else:
                # A link fails where the name is taken meanwhile; to rename would overwrite.
                os.link(self._part, self.path)
                self._part.unlink()
        except FileExistsError:
            raise Conflict(f"{self.path} came to be meanwhile: choose another name.") from None
        except OSError:
            if not self._part.exists() or os.path.lexists(self.path):
                raise
            self._part.rename(self.path)  # not every file system knows links
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _claim(self) -> IO[bytes]:
        descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who just finished has taken the name away from under us.
            is_ours = os.path.samestat(os.fstat(descriptor), self._part.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:
            os.close(descriptor)
            raise Conflict(f"Another process is writing {self._part}: wait for it, or choose another name.")
        os.fchmod(descriptor, 0o600)
        os.truncate(descriptor, 0)
        return os.fdopen(descriptor, "r+b")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupError(
                f"{self.path} cannot be written ({error.strerror or error}), and nothing is left of it: free space "
                "there, or choose another place."
            ) from error


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content lies in the file; in bytes."""

    name: str
    offset: int
    size: int


class Reader:
    """Reads what :class:`Writer` wrote. Raises BackupError for whatever is no whole backup."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size = path.stat().st_size
            found = {member.name: member for member in self.members() if not member.name.startswith(FILES)}
        except OSError as error:
            raise BackupError(f"{path} cannot be read ({error.strerror}).") from error
        if missing := [name for name in (DUMP, LISTING, MANIFEST, SUMS) if name not in found]:
            raise self.damaged(f"{missing[0]} is missing, so it was cut short or is no backup")
        self.parts = found

    def damaged(self, reason: str) -> BackupError:
        return BackupError(f"{self.path} is damaged ({reason}): take another backup.")

    def members(self) -> Iterator[Member]:
        """All of them, in their order; only headers are read."""
        with self.path.open("rb") as file:
            while any(block := file.read(BLOCK)):
                try:
                    header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
                except (tarfile.HeaderError, ValueError):
                    raise self.damaged(f"there is no member at byte {file.tell() - BLOCK}") from None
                member = Member(header.name, file.tell(), header.size)
                if header.size < 0 or member.offset + header.size > self.size:
                    raise self.damaged(f"{header.name} is cut short")
                yield member
                file.seek(header.size + -header.size % BLOCK, os.SEEK_CUR)
            if len(block + file.read(BLOCK)) < 2 * BLOCK:
                raise self.damaged("its end is missing")

    def open(self, member: Member) -> IO[bytes]:
        """The member's content as a file of its own that can seek."""
        return io.BufferedReader(_Section(self.path, member), CHUNK)

    def text(self, name: str) -> str:
        """The content of a small part."""
        member = self.parts[name]
        if member.size > MOST_TEXT:
            raise self.damaged(f"{name} is too large")
        try:
            with self.open(member) as file:
                return file.read().decode()
        except UnicodeDecodeError:
            raise self.damaged(f"{name} is no text") from None

    def sha256(self, member: Member) -> str:
        with self.open(member) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def require_sums(self) -> None:
        """Raise unless every main part is what ``SHA256SUMS`` says."""
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in self.text(SUMS).splitlines())}
        for name in (MANIFEST, LISTING, DUMP):
            if sums.get(name) != self.sha256(self.parts[name]):
                raise self.damaged(f"{name} is not what was written")


class _Section(io.RawIOBase):
    """A part of a file, as if it were one."""

    def __init__(self, path: Path, member: Member) -> None:
        self._file = path.open("rb")
        self._member, self._at = member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        self._file.seek(self._member.offset + self._at)
        data = self._file.read(max(0, min(len(buffer), self._member.size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    # Of this format one block is always enough: keys are short, and sizes beyond 8 GiB are written in binary.
    return info.tobuf(tarfile.GNU_FORMAT)
