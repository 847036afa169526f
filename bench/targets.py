"""What we want to reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench import shapes
from bench.people import shapes as people

FLOOR_RATIO = 3.0
OVER_FASTAPI = 2.0
OVER_DJANGO = 4.0
P99_MS = 40.0
LARGE = 1_000_000
SMALL = 10_000
GROWTH = 2.0
MEMORY_MB = 150.0

Goal = dict[str, Any]


def judge(results: dict[str, Any]) -> list[Goal]:
    """Each target with its measured value, as far as that was measured; ``share`` is measured over wanted."""
    listings = (*_floor(results), *_peers(results), *_slowest(results), *_growth(results))
    return [*listings, *_people(results), *_memory(results)]


def _goal(name: str, wanted: float, measured: float, unit: str, *, at_least: bool = False) -> Goal:
    reached = measured >= wanted if at_least else measured <= wanted
    return {
        "name": name,
        "wanted": wanted,
        "measured": round(measured, 2),
        "unit": unit,
        "at_least": at_least,
        "reached": reached,
        "share": round(measured / wanted, 2),
    }


def _floor(results: dict[str, Any]) -> Iterator[Goal]:
    for size, measured in results["sizes"].items():
        for shape in (shapes.ITEM, shapes.NEWEST):
            if shape.name in measured["shapes"]:
                name = f"{shape.title}, in process, over the floor ({int(size):,} listings)"
                yield _goal(name, FLOOR_RATIO, measured["shapes"][shape.name]["ratio"], "×")


def _peers(results: dict[str, Any]) -> Iterator[Goal]:
    runs = [run for run in _runs(results) if run["workers"] == 1]
    peers = (("fastapi", "FastAPI", OVER_FASTAPI), ("django", "Django REST framework", OVER_DJANGO))
    for family, title, wanted in peers:
        for shape in (shapes.ITEM, shapes.NEWEST):
            ours, theirs = _best(runs, "ours", shape.name), _best(runs, family, shape.name)
            for key, unit in (("per_second", "requests/s on one core"), ("per_cpu_second", "requests per CPU second")):
                if ours and theirs:
                    ratio = ours[key] / theirs[key]
                    yield _goal(f"{shape.title}, {unit}, over {title}'s best", wanted, ratio, "×", at_least=True)


def _best(runs: list[dict[str, Any]], family: str, workload: str) -> dict[str, float]:
    """The best of each number that any of the family's servers reached."""
    found = [run["workloads"][workload] for run in runs if run["family"] == family]
    return {key: max(one[key] for one in found) for key in ("per_second", "per_cpu_second")} if found else {}


def _slowest(results: dict[str, Any]) -> Iterator[Goal]:
    for name, measured in _search_shapes(results, LARGE).items():
        yield _goal(f"{_title(name)}, p99 at {LARGE:,} listings", P99_MS, measured["ours"]["p99"], "ms")


def _growth(results: dict[str, Any]) -> Iterator[Goal]:
    small = _search_shapes(results, SMALL)
    for name, measured in _search_shapes(results, LARGE).items():
        if name in small:
            ratio = measured["ours"]["median"] / small[name]["ours"]["median"]
            yield _goal(f"{_title(name)}, median at {LARGE:,} over that at {SMALL:,}", GROWTH, ratio, "×")


def _people(results: dict[str, Any]) -> Iterator[Goal]:
    measured = {size: told["shapes"] for size, told in results.get("people", {}).items()}
    small, large = measured.get(str(SMALL), {}), measured.get(str(LARGE), {})
    for shape in people.SHAPES:
        for size, found in measured.items():
            if shape.name in found and not shape.writes:
                name = f"{shape.title}, over the floor ({int(size):,} messages)"
                yield _goal(name, FLOOR_RATIO, found[shape.name]["ratio"], "×")
        if shape.name in large:
            yield _goal(f"{shape.title}, p99 at {LARGE:,} messages", P99_MS, large[shape.name]["ours"]["p99"], "ms")
        if shape.name in small and shape.name in large:
            ratio = large[shape.name]["ours"]["median"] / small[shape.name]["ours"]["median"]
            yield _goal(f"{shape.title}, median at {LARGE:,} messages over that at {SMALL:,}", GROWTH, ratio, "×")


def _memory(results: dict[str, Any]) -> Iterator[Goal]:
    peaks = [run["memory"]["peak_process_mb"] for run in _runs(results) if run["family"] == "ours"]
    if peaks:
        yield _goal("Peak memory (RSS) of one API process", MEMORY_MB, max(peaks), "MB")


def _runs(results: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = results.get("http", {}).get("runs", [])
    return found


def _search_shapes(results: dict[str, Any], size: int) -> dict[str, Any]:
    measured = results["sizes"].get(str(size), {}).get("shapes", {})
    return {shape.name: measured[shape.name] for shape in shapes.SHAPES if shape.is_search and shape.name in measured}


def _title(name: str) -> str:
    return next(shape.title for shape in shapes.SHAPES if shape.name == name)
