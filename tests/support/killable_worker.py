"""A worker as a process that a test may kill; run with the URL of its database and the folder of its data."""

from __future__ import annotations

import sys
from pathlib import Path

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import make_databases
from marketplace_api.jobs.worker import Work, run_worker
from marketplace_api.logs import configure_logging

STALLED_SECONDS = 2.0
"""A killed worker counts as dead after so long, instead of half a minute."""


def main(url: str, data_dir: str) -> None:
    configure_logging("INFO")
    databases = make_databases(url, system=True)
    run_worker(Settings(data_dir=Path(data_dir)), databases, Work(threads=2, stalled_seconds=STALLED_SECONDS))
    databases.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
