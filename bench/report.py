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
from rich.text import Text

from bench import shapes, targets
from bench.people import shapes as people

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


def write_json(results: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Keep the results under their date and commit."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results['began'][:10]}-{results['commit']}.json"
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    path.write_bytes(orjson.dumps(results, option=options))
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
        console.print(Text.assemble(("Not measured: ", "red"), f"{failure['part']}: {failure['why']}"))


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

    figure, axes = plt.subplots(1, 3, figsize=(21, 6))
    _draw_shapes(axes[0], results["sizes"], shapes.SHAPES, "listings")
    _draw_shapes(axes[1], results.get("people", {}), people.SHAPES, "messages")
    _draw_servers(axes[2], results)
    figure.tight_layout()
    figure.savefig(CHART, dpi=110)
    plt.close(figure)
    return True


def _draw_shapes(axis: Any, sizes: dict[str, Any], known: Sequence[shapes.Shape | people.Shape], what: str) -> None:
    names = [shape for shape in known if any(shape.name in m["shapes"] for m in sizes.values())]
    number = max(1, len(sizes))
    for position, (size, measured) in enumerate(sizes.items()):
        places = [index + (position - (number - 1) / 2) * 0.8 / number for index in range(len(names))]
        found = [measured["shapes"].get(shape.name) for shape in names]
        medians = [one["ours"]["median"] if one else 0 for one in found]
        axis.barh(places, medians, 0.8 / number, label=f"{int(size):,} {what}")
        axis.plot([one["floor"]["median"] if one else None for one in found], places, "k|", markersize=8)
        axis.plot([one["ours"]["p99"] if one else None for one in found], places, ".", color="grey", markersize=4)
    axis.set_yticks(range(len(names)), [shape.title for shape in names])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds in process: bar median, dot p99, | the floor's median")
    if names:
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

_SHAPE_HEAD = (
    "Request",
    "median ms",
    "p99 ms",
    "CPU ms",
    "floor median",
    "floor p99",
    "floor CPU",
    "ratio",
    "statements",
    "bytes",
    "requests",
)
_SERVER_HEAD = (
    "Server",
    "workers",
    "request",
    "per second",
    "per CPU second",
    "p50 ms",
    "p99 ms",
    "database CPU ms",
    "peak MB",
)
_CALLER_HEAD = ("A listing's reviews, asked for", "median ms", "p99 ms", "CPU ms")
_POLICY_HEAD = ("", "with policies ms", "without ms", "p99 ms", "p99 ms", "times")
_TARGET_HEAD = ("Target", "wanted", "measured", "")


def _tables(results: dict[str, Any]) -> Rows:
    for size, measured in results["sizes"].items():
        found = measured["shapes"]
        rows = [_shape_row(shape, found[shape.name]) for shape in shapes.SHAPES if shape.name in found]
        yield f"In process, {int(size):,} listings", _SHAPE_HEAD, rows
    for size, measured in results.get("people", {}).items():
        found = measured["shapes"]
        rows = [_shape_row(shape, found[shape.name]) for shape in people.SHAPES if shape.name in found]
        yield f"People, in process, {int(size):,} messages", _SHAPE_HEAD, rows
        if "policies" in measured:
            yield (
                f"Row level security, {int(size):,} messages",
                _POLICY_HEAD,
                [
                    _policy_row(shape, measured["policies"][shape.name])
                    for shape in people.SHAPES
                    if shape.name in measured["policies"]
                ],
            )
        if "authentication" in measured:
            yield (
                f"Knowing the caller, {int(size):,} messages",
                _CALLER_HEAD,
                list(_caller_rows(measured["authentication"])),
            )
    runs = results.get("http", {}).get("runs", [])
    if runs:
        rows = [_server_row(run, workload) for workload in runs[0]["workloads"] for run in runs]
        yield f"Over HTTP, {results['http']['size']:,} listings", _SERVER_HEAD, rows
    if results["targets"]:
        yield "Targets", _TARGET_HEAD, [_target_row(goal) for goal in results["targets"]]


def _policy_row(shape: people.Shape, told: dict[str, Any]) -> Sequence[str]:
    times = [told[side][key] for key in ("median", "p99") for side in ("on", "off")]
    return shape.title, *(f"{value:.2f}" for value in times), f"{told['ratio']:.2f}"


def _caller_rows(told: dict[str, Any]) -> Iterator[Sequence[str]]:
    for title, key in (("by an account", "known"), ("by nobody", "nobody")):
        yield title, *(f"{told[key][value]:.3f}" for value in ("median", "p99", "cpu"))
    yield "what authentication costs", f"{told['median']:.3f}", "", f"{told['cpu']:.3f}"
    yield "and the first use of a token", f"{told['first_use']:.3f}", "", f"{told['first_use']:.3f}"


def _shape_row(shape: shapes.Shape | people.Shape, measured: dict[str, Any]) -> Sequence[str]:
    ours, floor = measured["ours"], measured["floor"]
    times = [times[key] for times in (ours, floor) for key in ("median", "p99", "cpu")]
    return (
        shape.title,
        *(f"{value:.2f}" for value in times),
        f"{measured['ratio']:.1f}",
        f"{measured['statements']:.1f}",
        f"{measured['answer_bytes']:,}",
        f"{ours['count']:,}",
    )


def _server_row(run: dict[str, Any], workload: str) -> Sequence[str]:
    told = run["workloads"][workload]
    title = next(shape.title for shape in shapes.SHAPES if shape.name == workload)
    return (
        run["contestant"],
        str(run["workers"]),
        title,
        f"{told['per_second']:,.0f}",
        f"{told['per_cpu_second']:,.0f}",
        f"{told['p50']:.1f}",
        f"{told['p99']:.1f}",
        f"{told['database_cpu_ms']:.2f}",
        f"{run['memory']['peak_process_mb']:.0f}",
    )


def _target_row(goal: dict[str, Any]) -> Sequence[str]:
    sign, share, unit = "≥" if goal["at_least"] else "≤", goal["share"], goal["unit"]
    short = (1 / share if goal["at_least"] else share) if share else 0
    verdict = "reached" if goal["reached"] else f"short by a factor of {short:.2f}"
    return goal["name"], f"{sign} {goal['wanted']:g} {unit}", f"{goal['measured']:.2f} {unit}", verdict


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        _measured_on(results),
        "",
        _EXPLAINED.format(
            chart=f"../{CHART.relative_to(ROOT).as_posix()}", conditions=results["conditions"], values=shapes.VALUES
        ),
        "",
    ]
    for title, head, rows in _tables(results):
        lines += [f"## {title}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    lines += [f"Not measured: {failure['part']} ({failure['why'].splitlines()[0]})" for failure in results["failures"]]
    packages = results["machine"]["packages"]
    lines += ["## Versions", "", ", ".join(f"{name} {number}" for name, number in packages.items()) + ".", ""]
    database = next((one["database"] for one in results["sizes"].values() if "database" in one), None)
    if database:
        told = ", ".join(f"`{name}` {value}" for name, value in database["settings"].items())
        lines += [f"PostgreSQL: {told}.", ""]
    return "\n".join(lines)


def _measured_on(results: dict[str, Any]) -> str:
    machine, changed = results["machine"], " with changes" if results["changed"] else ""
    return (
        f"Measured {results['began'][:10]} at commit `{results['commit']}`{changed} on {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory_gb']} GB, {machine['system']}, {machine['python']}; load before the "
        f"run {results['load']}, {results['seconds']:g} seconds for each number. "
        "Again: `make bench`; `.venv/bin/python -m bench --help` tells how to measure a part."
    )


_EXPLAINED = """\
![Medians by kind of request, and requests per CPU second by server]({chart})

**In process** the WSGI application is called without a server: {conditions}. Each kind of request has up to {values}
different values, drawn with a seed. The process has a core to itself, and PostgreSQL has the others. **The floor** is
bare psycopg with orjson: it runs the very statements that our application sent and writes their rows as JSON.
**Ratio** is between the medians; both take turns, so what else the machine does hits both.

**People** are measured likewise, on databases of messages, and every caller is an account with a token and a session.
What writes is undone outside the clock where it could not be done again, and its floor commits as well. **Knowing the
caller** asks for the same public page with a token and without, in turns: the difference is what authentication costs,
the session's row included. The signature of a token is checked at its first use and then remembered.

**Over HTTP** every server runs one process or two, and wrk asks over persistent connections. With one process the
server has a core to itself, and PostgreSQL and wrk have the others. The peers give our answers from our tables, which
is checked first; they need not limit rates, check permissions, compute ETags or plan searches. **Per CPU second**
counts the CPU time of all processes of the server, and **database CPU** that of PostgreSQL for one request."""


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
