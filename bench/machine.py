"""What was measured on: processor, memory, versions; nothing that names a machine or a person."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "marketplace-api",
    "pyramid",
    "cornice",
    "sqlalchemy",
    "psycopg",
    "orjson",
    "granian",
    "fastapi",
    "pydantic",
    "uvicorn",
    "uvloop",
    "httptools",
    "asyncpg",
    "django",
    "djangorestframework",
    "gunicorn",
)


def describe() -> dict[str, Any]:
    return {
        "processor": _value("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(int((_value("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1024**2, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def load() -> float | None:
    """How many processes wanted to run in the last minute, on average; more than our own make numbers worse."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def commit() -> tuple[str, bool]:
    """The short name of the commit, and whether the working tree differs from it."""
    name = _git(["rev-parse", "--short=9", "HEAD"])
    return name or "unknown", bool(_git(["status", "--porcelain", "--", "marketplace_api", "alembic", "bench/*.py"]))


def _git(arguments: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _value(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
