"""`python -m bench`: fills databases, measures in process and over HTTP, and reports. See docs/performance.md."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from bench import application, databases, floor, http, machine, measure, report, servers, shapes, targets
from bench.fill import SIZES
from bench.people import shapes as people
from bench.people.plan import SIZES as MESSAGES
from bench.people.run import TABLES, People
from marketplace_api.database.embedded_postgres import EmbeddedPostgres

HTTP_SIZE = 100_000
QUICK_SIZES, QUICK_SECONDS = (10_000,), 1.0
WORKERS = (1, 2)
WIDE = 170
INTERRUPTED = 130

Results = dict[str, Any]


class Run:
    """The state of a run: results so far, progress, and how failures of a part are kept from the others."""

    def __init__(self, arguments: argparse.Namespace, console: Console, progress: Progress) -> None:
        self.arguments, self.console, self.progress = arguments, console, progress
        asked = (tuple(arguments.sizes), tuple(arguments.messages), tuple(arguments.workers))
        self.is_whole = asked == (SIZES, MESSAGES, WORKERS) and not (
            arguments.quick or arguments.shapes or arguments.skip
        )
        name, changed = machine.commit()
        self.results: Results = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": name,
            "changed": changed,
            "machine": machine.describe(),
            "load": machine.load(),
            "conditions": application.CONDITIONS,
            "seconds": arguments.seconds,
            "sizes": {},
            "people": {},
            "targets": [],
            "failures": [],
        }
        self.urls: dict[int, str] = {}
        self.path = Path()

    def part(self, name: str, work: Callable[[], None]) -> None:
        """Do ``work``; what goes wrong in it is told in the results, and the other parts go on."""
        task = self.progress.add_task(name, total=None)
        try:
            work()
        except Exception as error:
            self.results["failures"].append({"part": name, "why": f"{type(error).__name__}: {error}"})
            self.console.print(Text.assemble((f"{name}: ", "red"), str(error)))
        finally:
            self.progress.remove_task(task)
            self.results["targets"] = targets.judge(self.results)
            self.path = report.write_json(self.results, self.arguments.data / "results")

    def everything(self, server: EmbeddedPostgres) -> None:
        for size in () if {"process", "http"} <= {*self.arguments.skip} else self.arguments.sizes:
            self.part(f"filling {size:,} listings", lambda size=size: self._fill(server, size))  # type: ignore[misc]
        if "process" not in self.arguments.skip:
            for size in self.urls:
                self.part(f"in process, {size:,} listings", lambda size=size: self._in_process(size))  # type: ignore[misc]
        if "people" not in self.arguments.skip:
            for size in self.arguments.messages:
                self.part(f"people, {size:,} messages", lambda size=size: self._people(server, size))  # type: ignore[misc]
        if "http" not in self.arguments.skip:
            self.part("over HTTP", self._over_http)

    def _fill(self, server: EmbeddedPostgres, size: int) -> None:
        self.urls[size] = databases.database(server, size)

    def _in_process(self, size: int) -> None:
        url, folder = self.urls[size], self.arguments.data
        databases.warm(url)
        found = self.results["sizes"][str(size)] = {"database": databases.facts(url), "shapes": {}}
        wanted = [shape for shape in shapes.SHAPES if shape.name in (self.arguments.shapes or [shape.name])]
        ours, others = servers.divide_cores(1)
        with (
            servers.pinned(servers.postmaster(folder / "postgres"), others),
            servers.pinned(0, ours),
            application.application(url, folder) as app,
            floor.connection(url) as bare,
        ):
            for shape in self._each(wanted, lambda shape: shape.title):
                self.part(shape.title, lambda shape=shape: self._shape(found, shape, app, bare))  # type: ignore[misc]

    def _shape(self, found: Results, shape: shapes.Shape, app: application.WsgiApp, bare: Any) -> None:
        drawn = shapes.targets(shape, bare, app)
        gc.collect()
        found["shapes"][shape.name] = measure.measure(app, bare, drawn, self.arguments.seconds).as_json()

    def _people(self, server: EmbeddedPostgres, size: int) -> None:
        wanted = [shape for shape in people.SHAPES if shape.name in (self.arguments.shapes or [shape.name])]
        if not wanted:
            return
        filled = databases.database(server, size, databases.PEOPLE)
        folder, (ours, others) = self.arguments.data, servers.divide_cores(1)
        with databases.copied(server, filled) as url:
            databases.warm(url, TABLES)
            found = self.results["people"][str(size)] = {
                "database": databases.facts(url, "messages"),
                "shapes": {},
                "policies": {},
            }
            with (
                servers.pinned(servers.postmaster(folder / "postgres"), others),
                servers.pinned(0, ours),
                application.application(url, folder) as app,
                floor.connection(url) as bare,
            ):
                run = People(size, app, bare)
                for shape in self._each(wanted, lambda shape: shape.title):
                    self.part(shape.title, lambda shape=shape: self._person(found, shape, run))  # type: ignore[misc]
                found["authentication"] = run.authentication(self.arguments.seconds)

    def _person(self, found: Results, shape: people.Shape, run: People) -> None:
        found["shapes"][shape.name] = run.shape(shape, self.arguments.seconds).as_json()
        found["policies"][shape.name] = run.policies(shape, self.arguments.seconds)

    def _over_http(self) -> None:
        reason = http.missing()
        if reason:
            raise RuntimeError(reason)
        size = max((size for size in self.urls if size <= HTTP_SIZE), default=min(self.urls))
        bout = http.prepare(self.urls[size], self.arguments.data, self.arguments.seconds)
        self.results["failures"] += [{"part": "over HTTP", "why": problem} for problem in bout.problems]
        found = self.results["http"] = {"size": size, "runs": []}
        runs = [(contestant, workers) for workers in self.arguments.workers for contestant in http.CONTESTANTS]
        for contestant, workers in self._each(runs, lambda run: f"{run[0].name}, {run[1]} workers"):
            self.part(
                f"{contestant.name}, workers: {workers}",
                lambda who=contestant, number=workers: found["runs"].append(http.run(bout, who, number)),  # type: ignore[misc]
            )

    def _each(self, things: list[Any], name: Callable[[Any], str]) -> Iterator[Any]:
        task = self.progress.add_task("", total=len(things))
        for thing in things:
            self.progress.update(task, description=name(thing))
            yield thing
            self.progress.advance(task)
        self.progress.remove_task(task)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, help="numbers of listings, for example 10000,100000,1000000")
    parser.add_argument("--seconds", type=float, help="seconds for each measurement (default 5)")
    parser.add_argument("--workers", type=_numbers, default=WORKERS, help="processes of each server (default 1,2)")
    parser.add_argument("--messages", type=_numbers, help="numbers of messages, for example 10000,1000000")
    names = [shape.name for shape in (*shapes.SHAPES, *people.SHAPES)]
    kinds = ",".join(names)
    parser.add_argument("--shapes", type=_names, default=[], help=f"only these in process: {kinds}")
    parser.add_argument("--skip", type=_names, default=[], help="parts to leave out: process, people, http")
    parser.add_argument("--data", type=Path, default=report.ROOT / "bench" / "data", help="folder of the databases")
    parser.add_argument(
        "--quick", action="store_true", help="10,000 listings and messages, a second each; latest.json stays"
    )
    found = parser.parse_args(arguments)
    found.sizes = tuple(found.sizes or (QUICK_SIZES if found.quick else SIZES))
    found.messages = tuple(found.messages or (MESSAGES[:1] if found.quick else MESSAGES))
    found.seconds = found.seconds or (QUICK_SECONDS if found.quick else 5.0)
    found.data = found.data.absolute()
    unknown = {*found.shapes} - {*names}
    if unknown or {*found.skip} - {"process", "people", "http"} or {*found.workers} - {*http.CONNECTIONS}:
        parser.error(f"unknown: {', '.join(sorted(unknown)) or 'see --skip and --workers'}")
    return found


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part.replace("_", "")) for part in text.split(","))


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, so that every server is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> int:
    arguments = parse()
    arguments.data.mkdir(parents=True, exist_ok=True)
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        run = Run(arguments, console, progress)
        try:
            with _interruptible(), databases.server(arguments.data) as server:
                run.everything(server)
        except KeyboardInterrupt:
            console.print(f"Interrupted; what was measured so far is in {run.path}.")
            return INTERRUPTED
    report.show(console, run.results)
    if run.is_whole:
        run.path = report.write_json(run.results)
        report.LATEST.write_bytes(run.path.read_bytes())
        report.draw_chart(run.results)
        report.write_document(run.results)
    console.print(f"Results: {run.path}")
    return 1 if run.results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
