"""`python -m bench.moderation`: suspends a database full of listings by the command line, undoes it, and reports.

Both are processes as an operator starts them. Meanwhile others read, search and lock, and it is noted how long they
waited. The undoing is checked: afterwards every listing has the state that it had.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench import databases, machine, report, servers
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.domain.trust.moderation.targets import TARGETS

SIZE = 100_000
WHERE = "status != deleted"
BEGIN, END = "<!-- moderation: written by make bench-bulk -->", "<!-- end of moderation -->"
RESULTS = report.FOLDER / "moderation.json"

_PAUSE = 0.02
_STATE = (
    "SELECT md5(string_agg(concat_ws(',', listing_id, status, date_updated, is_searchable), ';' ORDER BY listing_id))"
)
# What others do meanwhile; ``%(one)s`` is a listing drawn anew each time.
_OTHERS = {
    "read one": "SELECT title, price, status FROM listings WHERE listing_id = %(one)s",
    "search a word": "SELECT count(*) FROM listings WHERE is_searchable AND document @@ to_tsquery('marketplace', 'usa & wifi')",
    "edit another account": "UPDATE users SET last_login = now() WHERE user_id = 1 + %(one)s %% 1000",
    "lock one of the same": "SELECT FROM listings WHERE listing_id = %(one)s FOR UPDATE",
}


@dataclass(frozen=True, slots=True)
class Act:
    """What one command took; megabytes are the peak of its process, CPU seconds those of database and others as well."""

    name: str
    rows: int
    seconds: float
    rows_per_second: int
    command_cpu: float
    server_cpu: float
    peak_mb: float
    longest_waits_ms: dict[str, float]


def run(server: EmbeddedPostgres, folder: Path, size: int) -> list[Act]:
    """Suspend and undo on a copy of the filled database."""
    filled = databases.database(server, size)
    postmaster = servers.postmaster(folder / "postgres")
    with databases.copied(server, filled) as url:
        databases.warm(url)
        before = _state(url)
        suspended = _act(url, folder, postmaster, "suspend", ["bulk", "suspend", *_which()])
        restored = _act(url, folder, postmaster, "undo", ["undo", "1"])
        if _state(url) != before or suspended.rows != restored.rows:
            raise RuntimeError("The undoing did not restore what was suspended.")
    return [suspended, restored]


def _which() -> list[str]:
    return ["--target", "listings", "--where", WHERE, "--reason", "A benchmark."]


def _state(url: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(f"{_STATE} FROM listings").fetchone()


def _act(url: str, folder: Path, postmaster: int | None, name: str, words: list[str]) -> Act:
    command = [sys.executable, "-m", "marketplace_api.cli", "--yes", "--json", "moderation", *words]
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DATA_DIR": str(folder / "moderation"),
        "MARKETPLACE_INI": str(report.ROOT / "development.ini"),
    }
    spent = servers.cpu_seconds(postmaster) if postmaster else 0.0
    begun = time.monotonic()
    with _others(url) as waits:
        process = subprocess.Popen(command, env=environment, cwd=report.ROOT, stdout=subprocess.PIPE)
        peak, own = _watch(process)
    seconds = time.monotonic() - begun
    answer = orjson.loads(process.stdout.read()) if process.stdout else {}
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}: {answer}")
    rows = answer["changed"] or answer["restored"]
    server = servers.cpu_seconds(postmaster) - spent if postmaster else 0.0
    longest = {what: round(1000 * most, 1) for what, most in waits.items()}
    return Act(
        name, rows, round(seconds, 1), round(rows / seconds), round(own, 1), round(server, 1), round(peak, 1), longest
    )


def _watch(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """The peak in megabytes and the CPU seconds of the process, once it has ended."""
    peak = own = 0.0
    while process.poll() is None:
        peak = max(peak, servers.peak_mb(process.pid))
        own = max(own, servers.cpu_seconds(process.pid))
        time.sleep(_PAUSE)
    return peak, own


@contextmanager
def _others(url: str) -> Iterator[dict[str, float]]:
    """Others at work meanwhile; gives the longest that each had to wait, in seconds, once the block ends."""
    waits = dict.fromkeys(_OTHERS, 0.0)
    stopping = threading.Event()
    threads = [threading.Thread(target=_other, args=(url, what, waits, stopping)) for what in _OTHERS]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _other(url: str, what: str, waits: dict[str, float], stopping: threading.Event) -> None:
    chance = random.Random(what)
    with psycopg.connect(url, autocommit=True) as connection:
        while not stopping.wait(_PAUSE):
            begun = time.monotonic()
            connection.execute(_OTHERS[what], {"one": chance.randrange(1, SIZE)})
            waits[what] = max(waits[what], time.monotonic() - begun)


def write(results: dict[str, Any]) -> None:
    """Keep the results and put the table between its marks in docs/performance.md."""
    RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    before, begin, rest = report.DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{report.DOCUMENT} lacks the marks {BEGIN} and {END}.")
    report.DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_markdown(results)}\n\n{END}{after}")


def _markdown(results: dict[str, Any]) -> str:
    changed = " with changes" if results["changed"] else ""
    lines = [
        f"`moderation bulk suspend` of what is not deleted of {results['size']:,} listings, and `moderation undo`, in parts "
        f"of {results['part']:,} that each commit; measured {results['began'][:10]} at commit "
        f"`{results['commit']}`{changed} on {results['machine']['cores']} cores of {results['machine']['processor']}, load "
        f"before the run {results['load']}. Server CPU includes what the others did meanwhile. Again: `make bench-bulk`.",
        "",
        "| Command | listings | seconds | per second | CPU s, command | CPU s, server | peak MB | "
        + " | ".join(f"longest: {what}, ms" for what in _OTHERS)
        + " |",
        "|---|" + "---|" * (6 + len(_OTHERS)),
    ]
    for act in results["acts"]:
        waits = " | ".join(f"{act['longest_waits_ms'][what]:,.0f}" for what in _OTHERS)
        lines.append(
            f"| {act['name']} | {act['rows']:,} | {act['seconds']} | {act['rows_per_second']:,} | {act['command_cpu']} | "
            f"{act['server_cpu']} | {act['peak_mb']:.0f} | {waits} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.moderation", description=__doc__)
    parser.add_argument("--data", type=Path, default=report.ROOT / "bench" / "data", help="folder of the databases")
    folder: Path = parser.parse_args().data.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    name, changed = machine.commit()
    results: dict[str, Any] = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": name,
        "changed": changed,
        "machine": machine.describe(),
        "load": machine.load(),
        "size": SIZE,
        "part": TARGETS["listings"].part,
    }
    with databases.server(folder) as server:
        results["acts"] = [asdict(act) for act in run(server, folder, SIZE)]
    write(results)
    print(_markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
