"""The results in every form: tables on the terminal, JSON files, a chart, and the numbers in docs/performance.md.

`python -m bench.report` writes chart and document anew from the latest results.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench import shapes, targets

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench" / "results"
LATEST = FOLDER / "latest.json"
CHART = FOLDER / "latest.png"
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- numbers: written by make bench -->", "<!-- end of numbers -->"
PROSE = "<!-- findings: written by hand -->"

Rows = Iterator[tuple[str, Sequence[str], list[Sequence[str]]]]

_FRAME = f"""# Performance

How fast the service answers, what the least possible would be, and how other frameworks do on the same tables.

{BEGIN}
{END}

## What profiles have shown

{PROSE}
"""


def write_json(results: dict[str, Any], *, is_latest: bool) -> Path:
    """Keep the results under their date and commit; those of a whole run also as the latest."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    raw = orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    path = FOLDER / f"{results['began'][:10]}-{results['commit']}{'' if is_latest else '-partial'}.json"
    path.write_bytes(raw)
    if is_latest:
        LATEST.write_bytes(raw)
    return path


def show(console: Console, results: dict[str, Any]) -> None:
    """The tables on a terminal."""
    for title, head, rows in _tables(results):
        table = Table(title=title, title_justify="left", header_style="bold")
        for position, name in enumerate(head):
            table.add_column(name, justify="right" if position else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for failure in results["failures"]:
        console.print(f"[red]Not measured:[/] {failure['part']}: {failure['why']}")


def write_document(results: dict[str, Any]) -> None:
    """Put the numbers between their marks in docs/performance.md; what is written around them stays."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else _FRAME
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{DOCUMENT} lacks the marks {BEGIN} and {END}.")
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_markdown(results)}\n{END}{after}")


def draw_chart(results: dict[str, Any]) -> bool:
    """The chart as PNG; False without matplotlib."""
    if find_spec("matplotlib") is None:
        return False
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(14, 6))
    _draw_shapes(axes[0], results)
    _draw_servers(axes[1], results)
    figure.tight_layout()
    figure.savefig(CHART, dpi=110)
    plt.close(figure)
    return True


def _draw_shapes(axis: Any, results: dict[str, Any]) -> None:
    names = [shape for shape in shapes.SHAPES if any(shape.name in m["shapes"] for m in results["sizes"].values())]
    number = max(1, len(results["sizes"]))
    for position, (size, measured) in enumerate(results["sizes"].items()):
        places = [index + (position - (number - 1) / 2) * 0.8 / number for index in range(len(names))]
        found = [measured["shapes"].get(shape.name) for shape in names]
        axis.barh(places, [one["ours"]["median"] if one else 0 for one in found], 0.8 / number, label=f"{int(size):,} listings")
        axis.plot([one["floor"]["median"] if one else None for one in found], places, "k|", markersize=8)
        axis.plot([one["ours"]["p99"] if one else None for one in found], places, ".", color="grey", markersize=4)
    axis.set_yticks(range(len(names)), [shape.title for shape in names])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds in process: bar median, dot p99, | the floor's median")
    axis.legend(loc="lower right")


def _draw_servers(axis: Any, results: dict[str, Any]) -> None:
    runs = [run for run in results.get("http", {}).get("runs", []) if run["workers"] == 1]
    names = {shape.name: shape.title for shape in shapes.SHAPES}
    workloads = list(dict.fromkeys(workload for run in runs for workload in run["workloads"]))
    for position, run in enumerate(runs):
        places = [index + (position - (len(runs) - 1) / 2) * 0.8 / len(runs) for index in range(len(workloads))]
        values = [run["workloads"][workload]["per_cpu_second"] for workload in workloads]
        axis.bar(places, values, 0.8 / len(runs), label=run["contestant"])
    axis.set_xticks(range(len(workloads)), [names[workload] for workload in workloads])
    axis.set_ylabel("requests per CPU second of the server, one worker")
    if runs:
        axis.legend()


# Tables, the same on the terminal and in the document.


def _tables(results: dict[str, Any]) -> Rows:
    for size, measured in results["sizes"].items():
        head = ("Request", "median ms", "p99 ms", "CPU ms", "floor median", "floor p99", "floor CPU", "ratio", "statements",
                "bytes", "requests")
        rows = [_shape_row(shape, measured["shapes"][shape.name]) for shape in shapes.SHAPES if shape.name in measured["shapes"]]
        yield f"In process, {int(size):,} listings", head, rows
    runs = results.get("http", {}).get("runs", [])
    if runs:
        names = {shape.name: shape.title for shape in shapes.SHAPES}
        head = ("Server", "workers", "request", "per second", "per CPU second", "p50 ms", "p99 ms", "database CPU ms", "peak MB")
        rows = [_server_row(run, names[workload], told) for workload in runs[0]["workloads"] for run in runs
                for told in [run["workloads"][workload]]]
        yield f"Over HTTP, {results['http']['size']:,} listings", head, rows
    if results["targets"]:
        yield "Targets", ("Target", "wanted", "measured", ""), [_target_row(goal) for goal in results["targets"]]


def _shape_row(shape: shapes.Shape, measured: dict[str, Any]) -> Sequence[str]:
    ours, floor = measured["ours"], measured["floor"]
    return (
        shape.title, *(f"{value:.2f}" for value in (ours["median"], ours["p99"], ours["cpu"])),
        *(f"{value:.2f}" for value in (floor["median"], floor["p99"], floor["cpu"])), f"{measured['ratio']:.1f}",
        f"{measured['statements']:.1f}", f"{measured['answer_bytes']:,}", f"{ours['count']:,}",
    )


def _server_row(run: dict[str, Any], workload: str, told: dict[str, Any]) -> Sequence[str]:
    return (
        run["contestant"], str(run["workers"]), workload, f"{told['per_second']:,.0f}", f"{told['per_cpu_second']:,.0f}",
        f"{told['p50']:.1f}", f"{told['p99']:.1f}", f"{told['database_cpu_ms']:.2f}", f"{run['memory']['peak_process_mb']:.0f}",
    )


def _target_row(goal: dict[str, Any]) -> Sequence[str]:
    sign = "≥" if goal["at_least"] else "≤"
    short = (1 / goal["share"] if goal["at_least"] else goal["share"]) if goal["share"] else 0
    verdict = "reached" if goal["reached"] else f"short by a factor of {short:.2f}"
    return (goal["name"], f"{sign} {goal['wanted']:g} {goal['unit']}", f"{goal['measured']:.2f} {goal['unit']}", verdict)


def _markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    lines = [
        f"Measured {results['began'][:10]} at commit `{results['commit']}`{' with changes' if results['changed'] else ''} "
        f"on {machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, {machine['system']}, "
        f"{machine['python']}; load before the run {results['load']}. Again: `make bench`, or `.venv/bin/python -m bench --help`.",
        "",
        f"![Medians by kind of request, and requests per CPU second by server](../{CHART.relative_to(ROOT).as_posix()})",
        "",
        f"**In process** the WSGI application is called without a server: {results['conditions']}. Each kind of request has up "
        f"to {shapes.VALUES} different values. **The floor** is bare psycopg with orjson, which runs the statements that "
        "our application sent and writes their rows as JSON. **Ratio** is between the medians.",
        "",
        "**Over HTTP** every server runs one process (or two) and is asked by wrk over "
        "persistent connections; the peers give our answers from our tables, and need neither plan searches nor "
        "limit rates, check permissions or compute ETags. **Per CPU second** counts the CPU time of the server's processes.",
        "",
    ]
    for title, head, rows in _tables(results):
        lines += [f"## {title}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    lines += [f"Not measured: {failure['part']} ({failure['why'].splitlines()[0]})" for failure in results["failures"]]
    lines += ["## Versions", "", ", ".join(f"{name} {number}" for name, number in machine["packages"].items()), ""]
    database = next((measured["database"] for measured in results["sizes"].values() if "database" in measured), None)
    if database:
        told = ", ".join(f"{name} {value}" for name, value in database["settings"].items())
        lines += [f"PostgreSQL: {told}.", ""]
    return "\n".join(lines)


def main() -> None:
    if not LATEST.exists():
        sys.exit("There are no results yet: run `make bench`.")
    results = orjson.loads(LATEST.read_bytes())
    results["targets"] = targets.judge(results)
    show(Console(), results)
    draw_chart(results)
    write_document(results)


if __name__ == "__main__":
    main()
