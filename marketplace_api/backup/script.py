"""Putting a dump into an empty database, in one transaction that commits only if all of it is as it should be.

pg_restore turns the dump into SQL and psql runs it, because so the transaction is ours: what came is counted, and what
must change is changed, before anybody sees any of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

from marketplace_api.backup.archive import CHUNK, BackupError
from marketplace_api.backup.pg_tools import Process, Programs
from marketplace_api.backup.tables import Ask

# pg_dump 17 and newer write this at the beginning, which older servers do not know.
_NEW_SETTING, _KNOWN_SINCE = b"SET transaction_timeout = 0;\n", 17
_HEAD = 8192
_END = "-- end of the answer --"
# A dump may hold a COMMIT of its own, around large objects. This lets none succeed before ours, by a row that lacks what
# it refers to until the very end.
_GUARD = """
CREATE TEMP TABLE restore_ended (whole int PRIMARY KEY) ON COMMIT DROP;
CREATE TEMP TABLE restore_begun (
    whole int CONSTRAINT the_dump_commits_by_itself REFERENCES restore_ended DEFERRABLE INITIALLY DEFERRED
) ON COMMIT DROP;
INSERT INTO restore_begun VALUES (1);
"""


class _Psql(Process):
    """psql with a session that lasts; what it prints are the answers to :meth:`ask`."""

    def __init__(self, folder: Path, url: str) -> None:
        options = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1")
        super().__init__(folder / "psql", *options, url=url, takes_input=True)

    def write(self, data: bytes) -> None:
        try:
            self.input.write(data)
        except BrokenPipeError:
            raise self.failed() from None

    def ask(self, statement: str) -> str:
        self.write(f"{statement};\n\\echo '{_END}'\n".encode())
        with suppress(BrokenPipeError):
            self.input.flush()
        lines: list[str] = []
        for line in self.output:
            if line.rstrip(b"\n").decode() == _END:
                return "\n".join(lines)
            lines.append(line.rstrip(b"\n").decode())
        raise self.failed()

    def failed(self) -> BackupError:
        self.wait()
        return BackupError(f"The database refused the backup, and is empty as before: {self.complaint()}.")


def run(
    programs: Programs,
    url: str,
    dump: IO[bytes],
    *,
    server: int,
    finish: Callable[[Ask], None],
    progress: Callable[[int], None],
) -> None:
    """Restore the ``dump`` and let ``finish`` look at it and change it before it is committed.

    ``progress`` hears how many bytes of SQL have gone so far. Raises BackupError, and what ``finish`` raises; then nothing
    was restored.
    """
    with _Psql(programs.folder, url) as psql:
        # Not psql's --single-transaction, which commits when its input ends, even if that is because we were killed.
        psql.write(f"\\o /dev/null\nBEGIN;\n{_GUARD}".encode())
        _run_script(programs, dump, psql, server, progress)
        psql.write(b"\\o\n")
        finish(psql.ask)
        psql.ask("DELETE FROM pg_temp.restore_begun")
        psql.ask("COMMIT")


def _run_script(programs: Programs, dump: IO[bytes], psql: _Psql, server: int, progress: Callable[[int], None]) -> None:
    # Comments are left out, because only their owner may comment on extensions, and we have no others.
    options = ("--file=-", "--no-owner", "--no-comments", "--exit-on-error")
    with Process(programs.folder / "pg_restore", *options, takes_input=True) as restore:
        feeder = Thread(target=_copy_to, args=(dump, restore.input), daemon=True)
        feeder.start()
        data = restore.output.read(_HEAD)
        if server < _KNOWN_SINCE:
            data = data.replace(_NEW_SETTING, b"", 1)
        sent = 0
        while data:
            psql.write(data)
            progress(sent := sent + len(data))
            data = restore.output.read(CHUNK)
        if restore.wait() != 0:
            raise BackupError(f"The dump cannot be read, and nothing was restored: {restore.complaint()}.")
        feeder.join()


def _copy_to(dump: IO[bytes], target: IO[bytes]) -> None:
    # A program that ended says why by itself.
    with suppress(OSError, ValueError), dump:
        shutil.copyfileobj(dump, target, CHUNK)
        target.close()
