"""A machine with nothing on it, in a folder: its absolute paths lie below the folder, and what only root may do there is
done by programs that leave out the change of user.

``systemctl`` really starts what a unit says, with nothing but the environment that the unit names.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# What the handbook's commands write to.
PLACES = (
    "/opt/marketplace",
    "/etc/marketplace",
    "/etc/systemd/system",
    "/usr/local/bin",
    "/var/lib/marketplace",
    "/var/backups/marketplace",
)
SYSTEMCTL = Path(__file__).with_name("systemctl.py")

# A new environment without a download: with the packages of this one behind its own, and the programs of two of them.
PYTHON3 = """
[ "$1 $2" = "-m venv" ] || exec {python} "$@"
{python} -m venv --without-pip "$3"
site=$("$3/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\\n' {packages} > "$site/zz-of-the-tests.pth"
printf '#!/bin/sh\\nexec "%s/bin/python" -m pip "$@"\\n' "$3" > "$3/bin/pip"
printf '#!/bin/sh\\nexec "%s/bin/python" -m pyramid.scripts.pserve "$@"\\n' "$3" > "$3/bin/pserve"
chmod 755 "$3/bin/pip" "$3/bin/pserve"
"""
# runuser -u USER -- COMMAND…; the administrator of the database has a way in.
RUNUSER = """
[ "$1 $3" = "-u --" ] || {{ echo "runuser: $*" >&2; exit 2; }}
user=$2; shift 3
if [ "$user" = postgres ]; then {postgres} exec "$@"; fi
[ "$user" = marketplace ] && exec "$@"
exit 3
"""
# install without a change of the owner.
INSTALL = """
for word; do
    shift
    case "$word" in -o|-g) skip=1;; *) if [ -z "${skip-}" ]; then set -- "$@" "$word"; fi; skip=;; esac
done
exec /usr/bin/install "$@"
"""


@dataclass(frozen=True)
class Machine:
    """``root`` stands for ``/``; ``ports`` are what it listens on in place of the usual ones."""

    root: Path
    ports: dict[str, str]

    @property
    def state(self) -> Path:
        return self.root / "run"

    def place(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def translate(self, text: str) -> str:
        """The paths and ports of a text, as they are here."""
        for place in PLACES:
            text = re.sub(rf"(?<![\w/.]){re.escape(place)}", f"{self.root}{place}", text)
        for usual, here in self.ports.items():
            text = re.sub(rf"\b{usual}\b", here, text)
        return text

    def translate_release(self, tree: Path) -> None:
        for path in [tree / "production.ini", *(tree / "deploy").rglob("*")]:
            if path.is_file():
                path.write_text(self.translate(path.read_text()))

    def furnish(self, postgres: dict[str, str], programs: Path) -> None:
        """The programs of the system that the handbook needs, and psql from ``programs``."""
        for place in ("/opt", "/etc/systemd/system", "/usr/local/bin", "/usr/bin", "/var/lib", "/var/backups", "/run"):
            self.place(place).mkdir(parents=True)
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in postgres.items())
        packages = " ".join(
            shlex.quote(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
        )
        systemctl = " ".join(map(shlex.quote, (sys.executable, str(SYSTEMCTL), str(self.root))))
        for name, script in {
            "python3": PYTHON3.format(python=shlex.quote(sys.executable), packages=packages),
            "runuser": RUNUSER.format(postgres=f"export {variables};"),
            "install": INSTALL,
            "useradd": 'eval "user=\\${$#}"; [ "$user" = marketplace ]',
            "systemctl": f'exec {systemctl} "$@"',
        }.items():
            path = self.place(f"/usr/bin/{name}")
            path.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
            path.chmod(0o755)
        self.place("/usr/bin/psql").symlink_to(programs / "psql")

    def run(self, script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """As root types it, line by line, where new files are root's alone by default; the first that fails ends it."""
        environment = {
            "PATH": f"{self.place('/usr/local/bin')}:{self.place('/usr/bin')}:{os.defpath}",
            "HOME": str(self.root),
            # pip takes what is installed already, and does not build in an environment that it would have to fetch.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **variables,
        }
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        return subprocess.run(
            ["sh", "-eux"],
            input=f"umask 077\n{script}",
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
