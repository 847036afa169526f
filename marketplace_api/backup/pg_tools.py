"""PostgreSQL's own programs: which of those on this machine fit, and how they are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from marketplace_api.backup.archive import BackupError
from marketplace_api.database.embedded_programs import EmbeddedPostgresError, find_programs, telling_line

NAMES = ("pg_dump", "pg_restore", "psql")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with all of :data:`NAMES`, and their version, such as ``18.6``."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def find_matching(major: int, purpose: str) -> Programs:
    """The oldest programs that are not older than ``major``, because newer ones read and write what older do.

    Raises BackupError.
    """
    found = sorted((some for place in _places() if (some := _programs(place))), key=lambda some: some.major)
    for programs in found:
        if programs.major >= major:
            return programs
    versions = ", ".join(some.version for some in found) or "none"
    raise BackupError(
        f"{purpose} needs pg_dump, pg_restore and psql of PostgreSQL {major} or newer, and this machine has {versions}: "
        f"install its client programs (postgresql-client-{major})."
    )


def _places() -> Iterator[Path]:
    with suppress(EmbeddedPostgresError):
        yield find_programs()
    found = shutil.which("pg_dump")
    # Debian's is a script that picks a version by itself; the real ones are below /usr/lib.
    if found and Path(found).resolve().name != "pg_wrapper":
        yield Path(found).parent
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def _programs(folder: Path) -> Programs | None:
    if not all((folder / name).is_file() for name in NAMES):
        return None
    command = [str(folder / "pg_dump"), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout  # noqa: S603
    version = re.search(r"\d+(\.\d+)?", told)
    return Programs(folder, version[0]) if version else None


class Process:
    """One of the programs, connected to a database or to none; it ends with the ``with`` block, at the latest."""

    def __init__(self, program: Path, *arguments: str, url: str = "", takes_input: bool = False) -> None:
        environment = {**os.environ, "LC_ALL": "C"}
        command = [str(program), *arguments]
        if url:
            values = conninfo_to_dict(url)
            # By environment, because others can read a command line.
            environment["PGPASSWORD"] = str(values.pop("password", "") or environment.get("PGPASSWORD", ""))
            command += ["--dbname", make_conninfo("", **values)]
        self.name = program.name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # a terminal's Ctrl-C is for us, who then end it
        )

    @property
    def input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def wait(self) -> int:
        return self._process.wait()

    def complaint(self) -> str:
        """Why it ended, in its own words."""
        self._said.seek(0)
        return telling_line(self._said.read().decode(errors="replace")).removeprefix(f"{self.name}: ")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()
        self._said.close()


_NO_RIGHT = re.compile("permission denied|privilege|row-level security")


@contextmanager
def run_pg_dump(programs: Programs, url: str, snapshot: str) -> Iterator[IO[bytes]]:
    """What pg_dump writes of the database as it is in the ``snapshot``; raises BackupError unless it is all of it."""
    # Level 1 takes a quarter of the time of level 6 and a sixth more space.
    # -B: without large objects. We have none, and those of others would end the transaction of a restore.
    options = ("--format=custom", "--compress=1", "--no-owner", "-B", f"--snapshot={snapshot}", "--no-password")
    with Process(programs.folder / "pg_dump", *options, url=url) as process:
        yield process.output
        if process.wait() != 0:
            why = process.complaint()
            who = " DATABASE_OWNER_URL has to name the owner of the tables." if _NO_RIGHT.search(why) else ""
            raise BackupError(f"pg_dump gave up, and nothing was kept: {why}.{who}")
