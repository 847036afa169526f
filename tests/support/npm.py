"""Clients from npm, installed once into a cache, for tests that drive them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE, NPM = shutil.which("node"), shutil.which("npm")
needs_node = pytest.mark.skipif(NODE is None or NPM is None, reason="node and npm are not installed")


def home_of(folder: Path) -> Path:
    """A folder with the ``node_modules`` that ``folder``'s lock file names: its own, or a cache that is filled once."""
    if (folder / "node_modules").exists():
        return folder
    lock = (folder / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "marketplace-api" / f"{folder.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (home / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(folder / name, home / name)
            subprocess.run([NPM or "npm", "ci", "--no-audit", "--no-fund"], cwd=home, check=True, capture_output=True)
            (home / "installed").touch()
    return home
