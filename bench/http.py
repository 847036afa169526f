"""Over HTTP, with wrk: our service on granian, and the peers on the servers that their users take.

One worker process has a core to itself, and wrk and PostgreSQL have the others, where there are several. The CPU
seconds of the server's processes are counted as well, because what they buy does not depend on what else runs.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import orjson

from bench import application, shapes
from bench.floor import connection
from bench.measure import WrongAnswerError, statements_of
from bench.servers import Server, cpu_seconds, divide_cores, free_port, on_cores, pinned, postmaster, serving, tree

ROOT = Path(__file__).resolve().parent.parent
WORKLOADS = (shapes.ITEM, shapes.NEWEST, shapes.COMMON_WORD)
CONNECTIONS = {1: 16, 2: 32}
COMPARED = 20
GUNICORN_THREADS = 4
_SCRIPT = Path(__file__).with_name("wrk.lua")
_IGNORED_LINKS = ("next", "last")  # ours are cursors


@dataclass(frozen=True, slots=True)
class Contestant:
    """A framework on its server; ``command`` takes folder, port, number of workers, and gives the command line."""

    name: str
    family: str
    command: Callable[[Path, int, int], list[str]]
    needs: tuple[str, ...] = ()


class DifferentAnswerError(RuntimeError):
    """A peer does not give our answer, so its speed would say nothing."""


def missing() -> str | None:
    """Why this part cannot run, ``None`` if it can."""
    if sys.platform != "linux":
        return "it reads /proc, which only Linux has"
    return None if shutil.which("wrk") else "wrk is not installed (on Debian and Ubuntu: apt install wrk)"


# How each is started.


def _ours(folder: Path, port: int, workers: int) -> list[str]:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "production.ini")
    ini["DEFAULT"].update({"http_port": str(port), "data_dir": str(folder)})
    ini["app:main"].update(
        {"logging.level": application.LOG_LEVEL, "http.trusted_proxies": "0", "http.drain_seconds": "0"}
    )
    ini["server:main"]["workers"] = str(workers)
    path = folder / f"ours-{workers}.ini"
    with path.open("w") as file:
        ini.write(file)
    return [sys.executable, "-m", "marketplace_api.serve", str(path)]


def _fastapi(kind: str) -> Callable[[Path, int, int], list[str]]:
    def command(_folder: Path, port: int, workers: int) -> list[str]:
        return [
            sys.executable,
            "-m",
            "uvicorn",
            f"bench.peers.fastapi_app:{kind}",
            "--port",
            str(port),
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--workers",
            str(workers),
            "--no-access-log",
            "--log-level",
            "warning",
        ]

    return command


def _django(*options: str) -> Callable[[Path, int, int], list[str]]:
    def command(_folder: Path, port: int, workers: int) -> list[str]:
        return [
            sys.executable,
            "-m",
            "gunicorn",
            "bench.peers.django_app.wsgi",
            "--bind",
            f"127.0.0.1:{port}",
            "--workers",
            str(workers),
            "--keep-alive",
            "75",
            "--log-level",
            "warning",
            *options,
        ]

    return command


_FASTAPI_NEEDS = ("fastapi", "uvicorn", "uvloop", "httptools", "asyncpg")
_DJANGO_NEEDS = ("django", "rest_framework", "gunicorn")
OURS = Contestant("Marketplace API, granian", "ours", _ours)
CONTESTANTS = (
    OURS,
    Contestant("FastAPI with Pydantic models, uvicorn", "fastapi", _fastapi("typed"), _FASTAPI_NEEDS),
    Contestant("FastAPI with dicts and orjson, uvicorn", "fastapi", _fastapi("plain"), _FASTAPI_NEEDS),
    Contestant("Django REST framework, gunicorn sync", "django", _django(), _DJANGO_NEEDS),
    Contestant(
        "Django REST framework, gunicorn gthread",
        "django",
        _django("--worker-class", "gthread", "--threads", str(GUNICORN_THREADS)),
        _DJANGO_NEEDS,
    ),
)


@dataclass(frozen=True, slots=True)
class Bout:
    """What all contestants share: the database, its server, the addresses to ask for, the folder for files."""

    url: str
    postgres_folder: Path
    folder: Path
    targets: Mapping[str, Sequence[str]]
    answers: Mapping[str, Any]
    seconds: float
    problems: Sequence[str] = ()

    @property
    def workloads(self) -> list[shapes.Shape]:
        return [shape for shape in WORKLOADS if shape.name in self.targets]

    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url,
            "MARKETPLACE_SECRET": application.SECRET,
            "JWT_KEYS": application.JWT_KEY,
            "DOCUMENT_KEYS": application.JWT_KEY,  # any 32 bytes
            "PUBLIC_URL": "https://marketplace.example",
            "SMTP_URL": "smtp://127.0.0.1:1",
            "RATE_LIMIT_MULTIPLIER": str(application.UNREACHED),
            "BENCH_DATABASE_URL": self.url,
            "BENCH_QUERIES": str(self.folder / "queries.json"),
            "PYTHONUNBUFFERED": "1",
        }

    def targets_file(self, workload: str) -> Path:
        return self.folder / f"targets-{workload}.txt"


def prepare(url: str, data: Path, seconds: float) -> Bout:
    """Draw the addresses, and write down our answers and our statements for the peers.

    A workload that we do not answer ourselves is left out; ``problems`` says why.
    """
    folder = data / "http"
    folder.mkdir(parents=True, exist_ok=True)
    targets: dict[str, Sequence[str]] = {}
    answers: dict[str, Any] = {}
    queries: dict[str, Any] = {}
    problems = []
    with application.application(url, data) as app, connection(url) as bare:
        for shape in WORKLOADS:
            drawn = shapes.targets(shape, bare, app)
            try:
                found = {target: _answer_of(app, target) for target in drawn}
            except WrongAnswerError as error:
                problems.append(f"{shape.title}: {error}")
                continue
            targets[shape.name] = drawn
            answers |= {target: found[target] for target in drawn[:COMPARED]}
            if shape is shapes.COMMON_WORD:
                queries = {_word(target): _query(app, target, answer) for target, answer in found.items()}
    bout = Bout(url, data / "postgres", folder, targets, answers, seconds, problems)
    (folder / "queries.json").write_bytes(orjson.dumps(queries, default=str))
    for name, some in targets.items():
        bout.targets_file(name).write_text("\n".join(some) + "\n")
    return bout


def _query(app: application.WsgiApp, target: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What a peer needs for the search that ``target`` asks for."""
    return {
        "statements": [[sql, parameters] for sql, parameters in statements_of(app, target)],
        "total": answer["totalItems"],
        "is_capped": answer.get("totalIsCapped", False),
    }


def run(bout: Bout, contestant: Contestant, workers: int) -> dict[str, Any]:
    """Every workload by one contestant with so many worker processes. Raises DifferentAnswerError, RuntimeError."""
    lacking = [name for name in contestant.needs if find_spec(name) is None]
    if lacking:
        raise RuntimeError(f"not installed: {', '.join(lacking)} (pip install -e '.[bench]')")
    server_cores, other_cores = divide_cores(workers)
    port, database = free_port(), postmaster(bout.postgres_folder)
    with ExitStack() as stack:
        stack.enter_context(pinned(database, other_cores))
        server = stack.enter_context(
            serving(
                contestant.command(bout.folder, port, workers),
                port,
                ready="/api/listings",
                log=bout.folder / "server.log",
                environment=bout.environment(),
                folder=ROOT,
                cores=server_cores,
            )
        )
        if contestant is not OURS:
            _compare(server, bout.answers)
        workloads = {}
        for shape in bout.workloads:
            _wrk(bout, server, shape.name, workers, min(2.0, bout.seconds), other_cores)
            workloads[shape.name] = _weighed(bout, server, database, shape.name, workers, other_cores)
        return {
            "contestant": contestant.name,
            "family": contestant.family,
            "workers": workers,
            "connections": CONNECTIONS[workers],
            "pinned": server_cores is not None,
            "workloads": workloads,
            "memory": asdict(server.memory()),
        }


def _weighed(
    bout: Bout, server: Server, database: int | None, workload: str, workers: int, cores: set[int] | None
) -> dict[str, Any]:
    def spent() -> tuple[float, float]:
        return server.cpu_seconds(), sum(cpu_seconds(pid) for pid in tree(database)) if database else 0.0

    server_before, database_before = spent()
    told = _wrk(bout, server, workload, workers, bout.seconds, cores)
    server_after, database_after = spent()
    used = max(server_after - server_before, 0.01)
    number = max(told["requests"], 1)
    return {
        **told,
        "per_second": round(told["requests"] / told["seconds"], 1),
        "per_second_and_worker": round(told["requests"] / told["seconds"] / workers, 1),
        "cpu_seconds": round(used, 2),
        "per_cpu_second": round(told["requests"] / used, 1),
        "database_cpu_ms": round(1000 * (database_after - database_before) / number, 3),
    }


def _wrk(
    bout: Bout, server: Server, workload: str, workers: int, seconds: float, cores: set[int] | None
) -> dict[str, Any]:
    command = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(CONNECTIONS[workers]),
        "--duration",
        f"{max(1, round(seconds))}s",
        "--timeout",
        "10s",
        "--script",
        str(_SCRIPT),
        server.url,
        "--",
        str(bout.targets_file(workload)),
    ]
    done = subprocess.run(on_cores(command, cores), check=False, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()[-500:]}")
    told: dict[str, Any] = orjson.loads(lines[-1])
    if told["failed"] > told["requests"] / 100:
        raise RuntimeError(f"{told['failed']} of {told['requests']} requests failed ({workload})")
    return told


# The same answer.


def _compare(server: Server, answers: Mapping[str, Any]) -> None:
    for target, ours in answers.items():
        with urlopen(server.url + target, timeout=20) as answer:
            theirs = orjson.loads(answer.read())
        wanted, found = dict(_leaves(ours)), dict(_leaves(theirs))
        different = sorted(place for place in wanted.keys() | found.keys() if wanted.get(place) != found.get(place))
        if different:
            place = different[0]
            raise DifferentAnswerError(
                f"GET {target}: {place} is {found.get(place)!r:.80} instead of {wanted.get(place)!r:.80}, "
                f"{len(different)} differences in all"
            )


def _leaves(answer: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an answer with its place, without what may differ: cursors, and the spelling of UTC."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name not in _IGNORED_LINKS and (name, value) != ("totalIsCapped", False):
                yield from _leaves(value, f"{place}.{name}")
    elif isinstance(answer, list):
        yield place, len(answer)
        for position, value in enumerate(answer):
            yield from _leaves(value, f"{place}[{position}]")
    elif ".date_" in place:
        yield place, str(answer).replace("Z", "+00:00")
    else:
        yield place, answer


def _answer_of(app: application.WsgiApp, target: str) -> Any:
    status, body = application.get(app, application.make_environ(target))
    if not status.startswith("200"):
        raise WrongAnswerError(f"GET {target} answers {status}: {body[:300].decode(errors='replace')}")
    return orjson.loads(body)


def _word(target: str) -> str:
    return parse_qs(urlsplit(target).query)["search"][0]
