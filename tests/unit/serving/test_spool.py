"""A waiting body comes back as it was, and a disk never sees it."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from marketplace_api.serving.spool import IN_MEMORY, Spool


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 1_000_003])
@pytest.mark.parametrize("piece", [1_000, 70_000])
def test_a_body_comes_back(size: int, piece: int) -> None:
    sent = os.urandom(size)
    spool = Spool()
    for start in range(0, size, piece):
        spool.write(sent[start : start + piece])
    assert spool.size == size
    reader = spool.reader()
    assert reader.read(10) + reader.read() == sent
    assert reader.read() == b""
    spool.close()


def test_lines_can_be_read() -> None:
    spool = Spool()
    lines = [b"%d\n" % number for number in range(30_000)]
    spool.write(b"".join(lines))
    assert spool.size > IN_MEMORY
    assert list(spool.reader()) == lines
    spool.close()


def test_the_disk_never_sees_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "seen"
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: path.open("w+b"))
    spool = Spool()
    secret = b"number of the passport "
    spool.write(secret * 10_000)
    assert spool.reader().read() == secret * 10_000
    written = path.read_bytes()
    assert len(written) == spool.size and secret not in written
    spool.close()


def test_a_small_one_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> io.BytesIO:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    spool = Spool()
    spool.write(b"x" * IN_MEMORY)
    assert len(spool.reader().read()) == IN_MEMORY
