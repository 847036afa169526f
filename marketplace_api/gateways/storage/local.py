"""Files in a folder of this machine, or of a disk that several share."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from marketplace_api.errors import Unavailable
from marketplace_api.gateways.storage.base import CHUNK, KEY, StoredFile, parts_of
from marketplace_api.gateways.storage.signing import UrlSigner

UNFINISHED = "unfinished"


class LocalStorage:
    """``folder/kind/ab/key``: 256 folders a kind, by the first digits of the random name."""

    def __init__(self, folder: Path, signer: UrlSigner) -> None:
        self.folder = folder
        self._unfinished = folder / UNFINISHED
        self._signer = signer

    def put(self, key: str, content: IO[bytes]) -> None:
        target = self._path(key)
        unfinished = self._unfinished / f"{key}.{secrets.token_hex(4)}"
        with _outages():
            try:
                self._make_folder(self._unfinished)
                self._make_folder(target.parent)
                with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    shutil.copyfileobj(content, file, CHUNK)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(target)
                _sync_folder(target.parent)
            except OSError:
                with suppress(OSError):
                    unfinished.unlink()
                raise

    def find(self, key: str) -> StoredFile | None:
        with _outages():
            try:
                return _described(key, self._path(key).stat())
            except FileNotFoundError:
                return None

    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes] | None:
        with _outages():
            try:
                file = self._path(key).open("rb")
            except FileNotFoundError:
                return None
            file.seek(first)
        return _chunks(file, None if last is None else last - first + 1)

    def delete(self, key: str) -> None:
        with _outages(), suppress(FileNotFoundError):
            self._path(key).unlink()

    def walk(self, prefix: str) -> Iterator[StoredFile]:
        kind, _, digits = prefix.partition("-")
        with _outages():
            folders = [folder for folder in self._subfolders(self.folder) if folder.name.startswith(kind)]
            for shard in (shard for folder in folders for shard in self._subfolders(folder)):
                if not (shard.name.startswith(digits[:2]) or digits.startswith(shard.name)):
                    continue
                for entry in os.scandir(shard):
                    if entry.name.startswith(prefix) and KEY.fullmatch(entry.name):
                        with suppress(FileNotFoundError):  # deleted while we look
                            yield _described(entry.name, entry.stat())

    def signed_url(self, key: str, seconds: int) -> str:
        parts_of(key)
        return self._signer.path(key, seconds)

    def tidy(self, before: datetime) -> int:
        removed = 0
        with _outages():
            for path in self._unfinished.iterdir() if self._unfinished.is_dir() else ():
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before.timestamp():
                        path.unlink()
                        removed += 1
        return removed

    def check(self) -> None:
        with _outages():
            self._make_folder(self._unfinished)
            probe = self._unfinished / f"probe.{secrets.token_hex(4)}"
            try:
                probe.write_bytes(b"probe")
            finally:
                probe.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        kind, name, _ending = parts_of(key)
        return self.folder / kind / name[:2] / key

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.folder:
            self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(folder.parent)  # a file is there for good only if its folder is

    @staticmethod
    def _subfolders(folder: Path) -> list[Path]:
        if not folder.exists():
            return []
        return sorted(path for path in folder.iterdir() if path.is_dir() and path.name != UNFINISHED)


def _described(key: str, facts: os.stat_result) -> StoredFile:
    etag = f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"
    return StoredFile(key, facts.st_size, etag, datetime.fromtimestamp(facts.st_mtime, UTC))


def _chunks(file: IO[bytes], left: int | None) -> Iterator[bytes]:
    with file, _outages():
        while left is None or left > 0:
            chunk = file.read(CHUNK if left is None else min(CHUNK, left))
            if not chunk:
                return
            if left is not None:
                left -= len(chunk)
            yield chunk


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _outages() -> Iterator[Any]:
    """A full disk, a folder that is gone or closed: somebody will mend it, and later it works."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The storage of files cannot be used now ({error.strerror}); nothing was saved.", retry_after=30
        ) from error
