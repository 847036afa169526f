"""How the ini's app meets a web server: the granian runner for `pserve production.ini`, and pserve as our own child.

`[server:main] use = egg:marketplace-api#granian` comes to :func:`granian_runner`. `python -m marketplace_api.serve
INI key=value …` is pserve for `marketplace-admin up`: it ends with its parent.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any

import plaster
import waitress
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server
from pyramid.scripts import pserve

from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.gateways.rate_limiter import SHARED_LIMITS_REMEDY, separate_limits
from marketplace_api.serving.worker import serve_worker

log = logging.getLogger(__name__)

GRANIAN = "egg:marketplace-api#granian"
INI_VARIABLE = "MARKETPLACE_SERVE_INI"
OPTIONS_VARIABLE = "MARKETPLACE_SERVE_OPTIONS"
SUPERVISOR_VARIABLE = "MARKETPLACE_SUPERVISOR"
HOST_VARIABLE = "MARKETPLACE_HOST"
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PR_SET_PDEATHSIG = 1
# With the default of 5 ms a thread that answers one request waits that long whenever another one computes.
SWITCH_INTERVAL = 0.0005
STOP_SECONDS = 30
DEFAULT_PORT = 6543
MOST_BODY = 32 * 1024 * 1024  # bytes that waitress keeps in memory
CONNECTIONS = 4096  # of one process at a time; those that say nothing cost a few kB each
IDLE_SECONDS = 30  # after which waitress ends a connection that says nothing


def granian_runner(
    app: Any,  # pserve builds it to find mistakes early; each process builds its own
    global_conf: Mapping[str, str],
    host: str = "127.0.0.1",
    workers: str = "",
    blocking_threads: str = "4",
    backlog: str = "1024",
    **unknown: str,
) -> None:
    """Serve the ini's app with granian until SIGTERM or SIGINT, then answer what was begun.

    ``workers`` is the number of processes, one per core if empty; ``blocking_threads`` how many requests each of them
    works on at a time. Host and port are :func:`host_of` and :func:`port_of`. A worker that dies is replaced.
    """
    if unknown:
        raise ValueError(f"[server:main] does not know {', '.join(sorted(unknown))}.")
    settings: Settings = app.registry.app_settings
    host = host_of(host)
    require_free(host, port_of(global_conf))
    os.environ[INI_VARIABLE] = global_conf["__file__"]
    options = {key: value for key, value in global_conf.items() if key not in ("here", "__file__", "__script__")}
    os.environ[OPTIONS_VARIABLE] = json.dumps(options)
    _share_metrics()
    count = processes_of({"use": GRANIAN, "workers": workers})
    if told := separate_limits(app.registry.app_settings, count):
        log.warning("%s. %s", told, SHARED_LIMITS_REMEDY)
    # A fork would share this process's database connections with the workers.
    multiprocessing.set_start_method("spawn", force=True)
    server = Server(
        target="marketplace_api.serve",
        address=host,
        port=port_of(global_conf),
        # The application is WSGI's; serve_worker says why the server is not.
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.header_timeout * 1000),
        loop=Loops.asyncio,
        websockets=False,
        workers=count,
        backlog=int(backlog),
        backpressure=CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds + STOP_SECONDS,
        # Its records take the way of all others.
        log_dictconfig={"version": 1, "loggers": {"_granian": {"level": "INFO", "handlers": [], "propagate": True}}},
    )
    spawn = partial(serve_worker, threads=int(blocking_threads))
    server.serve(spawn_target=spawn, target_loader=build_app, wrap_loader=False)


def waitress_runner(app: Any, global_conf: Mapping[str, str], host: str = "127.0.0.1", **options: str) -> None:
    """Serve with waitress in this process, on the port that :func:`port_of` finds; its other options pass through.

    Bodies stay in memory: waitress would write larger ones to a temporary file, and some are documents that no disk
    may see unencrypted.
    """
    host = host_of(host)
    require_free(host, port_of(global_conf))
    sys.setswitchinterval(SWITCH_INTERVAL)
    given = {
        "inbuf_overflow": MOST_BODY,
        "max_request_body_size": MOST_BODY,
        "connection_limit": CONNECTIONS,
        "channel_timeout": IDLE_SECONDS,
        "asyncore_use_poll": True,  # select() knows no more than 1,024 files
        **options,
    }
    waitress.serve_paste(app, global_conf, **{**given, "host": host, "port": port_of(global_conf)})


def _share_metrics() -> None:
    """Let the processes count into one folder, from which each of them answers `/metrics` for all.

    A new one for each start, because counters of a process that has ended must not go on in another.
    """
    if METRICS_VARIABLE not in os.environ:
        folder = tempfile.mkdtemp(prefix="marketplace-metrics-")
        os.environ[METRICS_VARIABLE] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def require_free(host: str, port: int) -> None:
    """End with a sentence where somebody listens already: granian would share the port with them unnoticed."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SystemExit(
            f"Error: cannot listen on {host}:{port} ({error.strerror}); stop what runs there, or choose another port."
        ) from None


def host_of(host: str) -> str:
    """The environment's MARKETPLACE_HOST, which a container sets to 0.0.0.0, else the ``host`` of the ini's section."""
    return os.environ.get(HOST_VARIABLE) or host


def port_of(global_conf: Mapping[str, str]) -> int:
    """The environment's PORT, else ``http_port`` of the command line, else that of the ini's ``[DEFAULT]``.

    The runners ask here because inside a section of the ini ``%(http_port)s`` knows the file's value only.
    """
    port = os.environ.get("PORT") or global_conf.get("http_port") or str(DEFAULT_PORT)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"PORT or http_port must be a port number (it is {port!r}).")
    return int(port)


def build_app() -> Any:
    """The app of the ini that :func:`granian_runner` named; called once in each of its processes."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)
    loader = plaster.get_loader(os.environ[INI_VARIABLE], protocols=["wsgi"])
    return loader.get_wsgi_app(None, json.loads(os.environ[OPTIONS_VARIABLE]))


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Have the system send us ``number`` when ``parent``, which started us, ends, even by ``kill -9`` (Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        # It was gone before we asked.
        os.kill(os.getpid(), number)


def end_with_supervisor() -> None:
    """End with `marketplace-admin up`, if that is what started us."""
    supervisor = os.environ.pop(SUPERVISOR_VARIABLE, "")
    if supervisor:
        end_with_parent(int(supervisor))


def processes_of(server: Mapping[str, str]) -> int:
    """How many processes a ``[server:main]`` of the ini starts: with granian its ``workers`` or one per core, else one."""
    is_granian = server.get("use", "").endswith("#granian")
    return int(server.get("workers", "").strip() or cores()) if is_granian else 1


def cores() -> int:
    """Those that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def main(arguments: list[str]) -> int:
    """pserve with the given command line, as a child of `marketplace-admin up`."""
    # A shell starts background jobs with SIGINT ignored; waitress ends properly on this exception only.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    end_with_supervisor()
    return int(pserve.main(["pserve", *arguments], quiet=True) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
