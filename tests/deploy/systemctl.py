"""`systemctl` of a machine in a folder, as far as the handbook uses it; the first word is that folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

SECONDS = 60


def _directives(root: Path, unit: str) -> list[tuple[str, str]]:
    name, _, instance = unit.removesuffix(".service").partition("@")
    file = root / "etc/systemd/system" / f"{name}{'@' if instance else ''}.service"
    pairs = re.findall(r"^([A-Za-z]+)=(.*)$", file.read_text(), re.MULTILINE)
    return [(key, value.replace("%i", instance)) for key, value in pairs]


def _environment(directives: list[tuple[str, str]]) -> dict[str, str]:
    """What the unit names and nothing else, quotes taken off as systemd does."""
    found = {"PATH": os.defpath}
    for key, value in directives:
        lines = [value] if key == "Environment" else []
        if key == "EnvironmentFile":
            file = Path(value.removeprefix("-"))
            lines = file.read_text().splitlines() if file.exists() or not value.startswith("-") else []
        for line in lines:
            found.update(pair.split("=", 1) for pair in shlex.split(line, comments=True))
    if "LD_LIBRARY_PATH" in os.environ:
        found["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return found


def start(root: Path, unit: str) -> None:
    """From a folder that has nothing to do with it: no path may depend on that."""
    if unit.endswith(".timer"):
        assert (root / "etc/systemd/system" / unit).is_file(), unit
        return
    directives = _directives(root, unit)
    [command] = [value for key, value in directives if key == "ExecStart"]
    with (root / "run" / f"{unit}.log").open("ab") as log:
        process = subprocess.Popen(
            shlex.split(command.replace("$$", "$").replace("%%", "%")),
            cwd="/",
            env=_environment(directives),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if ("Type", "oneshot") in directives:
        if process.wait(SECONDS) != 0:
            sys.exit(f"{unit} failed: {(root / 'run' / f'{unit}.log').read_text()}")
        return
    (root / "run" / f"{unit}.pid").write_text(str(process.pid))


def stop(root: Path, unit: str) -> None:
    file = root / "run" / f"{unit}.pid"
    process = int(file.read_text())
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS
    while _lives(process):
        if time.monotonic() > deadline:
            sys.exit(f"{unit} did not end")
        time.sleep(0.05)
    file.unlink()


def _lives(process: int) -> bool:
    """It has been this program's child, or nobody's, and then may wait for somebody to take note of its end."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _running(root: Path, pattern: str) -> list[str]:
    units = sorted(path.name.removesuffix(".pid") for path in (root / "run").glob("*.pid"))
    return [unit for unit in units if fnmatch(unit, pattern)]


def main(root: Path, verb: str, *words: str) -> None:
    units = [word for word in words if not word.startswith("-")]
    if verb in ("start", "enable"):
        for unit in units if verb == "start" or "--now" in words else []:
            start(root, unit)
    elif verb in ("restart", "stop"):
        for unit in [name for pattern in units for name in _running(root, pattern)]:
            stop(root, unit)
            if verb == "restart":
                start(root, unit)
    elif verb != "daemon-reload":
        sys.exit(f"systemctl {verb} is not played")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
