"""Which libraries talk to PostgreSQL: psycopg and, below it, libpq."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg


@dataclass(frozen=True, slots=True)
class ClientVersions:
    """The versions of both, as they write them themselves."""

    psycopg: str
    libpq: str


def client_versions() -> ClientVersions:
    """The versions that are loaded in this process."""
    number = psycopg.pq.version()
    return ClientVersions(psycopg.__version__, f"{number // 10_000}.{number % 10_000}")
