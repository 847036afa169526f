"""`python -m bench.realtime`: connects thousands of clients to one realtime process, has some of them write to each
other, lets others come back who were away, and reports.

Processes are as an operator starts them; nothing is kept on a core of its own. What is not delivered, or twice, is counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import databases, machine, report
from bench.realtime.run import Size, measure

BEGIN, END = "<!-- realtime: written by make bench-realtime -->", "<!-- end of realtime -->"
RESULTS = report.FOLDER / "realtime.json"
PROCESSES = ("realtime", "postgres", "clients", "sender", "worker")


def write(results: Mapping[str, Any]) -> None:
    """Keep the results and put the tables between their marks in docs/performance.md."""
    RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    before, begin, rest = report.DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{report.DOCUMENT} lacks the marks {BEGIN} and {END}.")
    report.DOCUMENT.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}")


def markdown(results: Mapping[str, Any]) -> str:
    """The results as they stand in the document."""
    return "\n".join([*_introduction(results), "", *_live(results), "", *_connecting(results), "", *_missed(results)])


def _introduction(results: Mapping[str, Any]) -> list[str]:
    changed, first = " with changes" if results["changed"] else "", results["live"][0]
    return [
        f"One realtime process and {first['clients']:,} clients of socket.io, each of another account, on a database of "
        f"{results['messages']:,} messages; messages at random moments in random conversations of the connected, each a "
        f"transaction; measured {results['began'][:10]} at commit `{results['commit']}`{changed} on "
        f"{results['machine']['cores']} cores of {results['machine']['processor']}, load before the run "
        f"{results['load']}, `shared_buffers` 1GB. Milliseconds are from the commit at the sender to the frame at the "
        "client, of both who got it; CPU is in shares of one core. Again: `make bench-realtime`."
    ]


def _live(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| "
        + " | ".join(
            (
                "Worker",
                "messages",
                "a second",
                "deliveries",
                "lost",
                "doubled",
                "p50 ms",
                "p95 ms",
                "p99 ms",
                "longest ms",
                "notifications",
                "their p95 ms",
                *(f"CPU, {name}" for name in PROCESSES),
            )
        )
        + " |",
        "|---|" + "---|" * (11 + len(PROCESSES)),
    ]
    for each in results["live"]:
        ms, told = each["ms"], each["notification_ms"].get("p95", "")
        shares = (f"{each['cpu'][name]:.2f}" if name in each["cpu"] else "" for name in PROCESSES)
        row = (
            "with" if each["worker"] else "without",
            f"{each['messages']:,}",
            each["per_second"],
            f"{each['delivered']:,}",
            each["lost"],
            each["doubled"],
            ms["p50"],
            ms["p95"],
            ms["p99"],
            ms["most"],
            f"{each['notifications']:,}",
            told,
            *shares,
        )
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def _connecting(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| Clients connected | seconds | a second | CPU, realtime | CPU, postgres | CPU, clients | MB without | MB with | KB each |",
        "|---|" + "---|" * 8,
    ]
    for each in results["live"]:
        shares = (f"{each['connect_cpu'][name]:.2f}" for name in PROCESSES[:3])
        row = (
            f"{each['clients']:,}",
            each["connect_seconds"],
            round(each["clients"] / each["connect_seconds"]),
            *shares,
            each["empty_mb"],
            each["full_mb"],
            each["kb_each"],
        )
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def _missed(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| Clients that come back at once | missed by each | seconds until all have all | median client | events a second "
        "| CPU, realtime | CPU, postgres | CPU, clients |",
        "|---|" + "---|" * 7,
    ]
    for each in results["missed"]:
        shares = (f"{each['cpu'][name]:.2f}" for name in PROCESSES[:3])
        row = (
            each["clients"],
            f"{each['each']:,}",
            each["seconds"],
            each["median_seconds"],
            f"{each['per_second']:,}",
            *shares,
        )
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.realtime", description=__doc__)
    parser.add_argument("--data", type=Path, default=report.ROOT / "bench" / "data", help="folder of the databases")
    parser.add_argument("--show", action="store_true", help="print the tables and keep nothing")
    arguments = parser.parse_args()
    folder: Path = arguments.data.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    name, changed = machine.commit()
    size = Size()
    results: dict[str, Any] = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": name,
        "changed": changed,
        "machine": machine.describe(),
        "load": machine.load(),
        "messages": size.messages,
    }
    with databases.server(folder) as server:
        results |= measure(server, folder, size)
    if not arguments.show:
        write(results)
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
