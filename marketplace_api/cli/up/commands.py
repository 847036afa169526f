"""`marketplace-admin up`: the whole service on one machine for development, in one terminal."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.terminal import say
from marketplace_api.cli.up.supervisor import Child, ChildError

if TYPE_CHECKING:
    from marketplace_api.config.settings import Settings
    from marketplace_api.database.embedded_postgres import EmbeddedPostgres

READY_SECONDS = 90
CALM_SECONDS = 8
DATABASE_CHECK_SECONDS = 5
LAST_PORT = 65535
# A proxy of the environment has no business with our own machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="The API's port; else PORT, else that of the ini.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Database, mails and keys; else DATA_DIR, else the ini's.",
)
@pass_context
def up(context: Context, port: int | None, data_dir: Path | None) -> None:
    """Run everything for development until Ctrl-C.

    Starts the embedded PostgreSQL (where the ini says so), migrates, loads the demo data once, then runs API,
    worker and realtime process, which listens on the port behind the API's unless REALTIME_PORT says otherwise.

    Example: `marketplace-admin up --port 7000 --data-dir ~/marketplace`
    """
    if port is not None:
        context.overrides["http_port"] = str(port)
    if data_dir is not None:
        context.overrides["data_dir"] = str(data_dir.expanduser().absolute())
    if context.settings.production:
        raise click.ClickException(
            "`up` is for development; start production with `pserve production.ini` and `jobs run`."
        )
    host, number = address(context.server_section)
    _check_port(host, number)
    _check_port(host, _realtime_port(context, number), "REALTIME_PORT=N")
    _check_folder(context.settings.data_dir)
    # SIGTERM and a closed terminal stop us the way Ctrl-C does, also where a shell started us with SIGINT ignored.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    with _alone(context.settings.data_dir), suppress(KeyboardInterrupt):
        _run(context, host, number)
    context.output.remark("Everything is stopped.")


def _run(context: Context, host: str, port: int) -> None:
    from marketplace_api import boot
    from marketplace_api.jobs.dispatch import dispatch

    settings = context.settings
    databases, server = boot.open_databases(settings, dispatch, system=True)
    children = _children(context, host, _realtime_port(context, port))
    try:
        with context.preparing("Preparing the database …") as load_demo:
            boot.development_ready(databases, settings, load_demo)
        databases.dispose()
        for child in children:
            child.start()
        _wait_until_ready(f"http://{host}:{port}", children)
        _wait_until_calm(f"http://{host}:{port}")
        _welcome(context, f"http://{host}:{port}", f"http://{host}:{_realtime_port(context, port)}")
        _watch(children, server)
    except ChildError as error:
        raise click.ClickException(str(error)) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in children:
            child.stop()
        databases.dispose()
        if server is not None:
            server.stop()


def _children(context: Context, host: str, realtime_port: int) -> list[Child]:
    """API, worker and realtime process, in the order in which they are stopped."""
    variables = context.variables
    environment = {
        **os.environ,
        "DATA_DIR": str(context.settings.data_dir),
        "REALTIME_PORT": str(realtime_port),
        "REALTIME_URL": context.settings.realtime_url or f"http://{host}:{realtime_port}",
    }
    if sys.stderr.isatty():
        environment["FORCE_COLOR"] = "1"
    pairs = [f"{name}={value}" for name, value in variables.items()]
    sets = [word for pair in pairs for word in ("--set", pair)]
    ini = str(context.ini_path)
    python = [sys.executable, "-m"]
    return [
        Child("api", [*python, "marketplace_api.serve", ini, *pairs], environment, "cyan"),
        Child("worker", [*python, "marketplace_api.cli", "--ini", ini, *sets, "jobs", "run"], environment, "magenta"),
        Child(
            "realtime", [*python, "marketplace_api.cli", "--ini", ini, *sets, "realtime", "run"], environment, "blue"
        ),
    ]


def _wait_until_ready(url: str, children: list[Child]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for child in children:
            child.revive()
        with suppress(OSError, urllib.error.URLError), _OPENER.open(f"{url}/healthz", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise ChildError(f"The API did not answer {url}/healthz within {READY_SECONDS} seconds: its lines above say why.")


def _wait_until_calm(url: str) -> None:
    """What follows from the demo data has a hundred lines, below which nobody would see the welcome."""
    deadline = time.monotonic() + CALM_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, urllib.error.URLError), _OPENER.open(f"{url}/readyz", timeout=5) as answer:
            queues = (json.load(answer)["jobs"] or {"queues": {}})["queues"].values()
            if not any(queue["doing"] or queue["oldestSeconds"] for queue in queues):
                return
        time.sleep(0.2)


def _watch(children: list[Child], server: EmbeddedPostgres | None) -> None:
    """Until an exception (Ctrl-C) ends it; what dies is started again."""
    checked = time.monotonic()
    while True:
        time.sleep(0.5)
        for child in children:
            child.revive()
        if server is not None and time.monotonic() - checked > DATABASE_CHECK_SECONDS:
            checked = time.monotonic()
            revive_database(server)


def revive_database(server: EmbeddedPostgres) -> None:
    """Start it again if it has ended, and say so."""
    before = server.launches
    server.start()
    if server.launches > before:
        say("PostgreSQL had ended; it is started again, and goes on from what was committed.", err=True)


def _welcome(context: Context, url: str, realtime_url: str) -> None:
    from marketplace_api.domain.operations import demo

    lines = [
        f"The marketplace is ready: {url}/api",
        f"What happens is pushed from {realtime_url} (docs/realtime.md)",
        f"Mails, text messages and pushes are files in mail, sms and push of {context.settings.data_dir}",
    ]
    lines += ["", "Demo log-ins (POST /api/auth/login):"]
    lines += [f"  {role:<10} {email}  {password}" for role, email, password in demo.LOGINS]
    say("\n" + "\n".join(lines) + "\n\nCtrl-C stops everything.\n")


def address(server: dict[str, str]) -> tuple[str, int]:
    """Where the server of this ini section listens, as this machine reaches it."""
    from marketplace_api.serve import host_of, port_of

    host = host_of(server.get("host", "127.0.0.1"))
    return ("127.0.0.1" if host in ("", "*", "0.0.0.0", "::") else host), port_of(server)  # noqa: S104  compared only


def realtime_port(server: dict[str, str], settings: Settings, port: int) -> int:
    """That of the settings, else the one behind the API's, so that two marketplaces on one machine have four.

    ``server`` is the server section of the ini.
    """
    is_chosen = settings.production or os.environ.get("REALTIME_PORT") or server.get("realtime.port")
    return settings.realtime_port if is_chosen or port == LAST_PORT else port + 1


def _realtime_port(context: Context, port: int) -> int:
    return realtime_port(context.server_section, context.settings, port)


def _check_port(host: str, port: int, choice: str = "--port N (make run PORT=N)") -> None:
    remedy = f"choose another with {choice}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except PermissionError:
            raise click.ClickException(f"Port {port} needs more rights: {remedy}.") from None
        except OSError:
            raise click.ClickException(
                f"Port {port} of {host} is in use: stop the program that listens there, or {remedy}."
            ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second `up` off the folder: the first one to stop would take the database from the other."""
    with (folder / ".up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise click.ClickException(
                f"The marketplace already runs from {folder}: stop it first, or choose another folder with "
                "--data-dir D (make run DATA_DIR=D)."
            ) from None
        yield


def _check_folder(folder: Path) -> None:
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise click.ClickException(
            f"The data folder {folder} cannot be written ({error.strerror}): mend its rights, or choose another with "
            "--data-dir D (make run DATA_DIR=D)."
        ) from None
