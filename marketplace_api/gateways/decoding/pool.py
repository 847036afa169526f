"""The processes that decode for this one: begun when they are needed, used again, replaced when they have grown.

A request waits a moment for a free one and is told to come back then: nobody's upload may hold the thread that would
answer somebody else.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

from marketplace_api.errors import Unavailable
from marketplace_api.gateways.decoding import frames
from marketplace_api.gateways.decoding.frames import Frame
from marketplace_api.gateways.decoding.refusals import refused

log = logging.getLogger(__name__)

MOST_ANSWER = 64 * 1024 * 1024
"""Bytes that a child may answer; three variants of a photo are below one tenth of that."""

USES = 200
"""Files after which a child is replaced, for what its libraries may have kept."""

PATIENCE = 0.5
"""Seconds for which a request waits for a free child; twice, where its pixels are counted first."""

QUEUE = 1
"""Requests that wait so at a time: the threads of a process are few, and others ask for what needs no child."""

PATIENT_SECONDS = 120
RETRY_AFTER = 2
STOP_SECONDS = 5

# What a Python needs to find its libraries, and nothing else that our environment may hold.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LC_ALL", "LANG")
# One arena, and large blocks that go back to the system when they are free.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1048576", "PYTHONDONTWRITEBYTECODE": "1"}

_TOO_COSTLY = frozenset({signal.SIGXCPU})
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work: ``work`` is its name in the child, ``words`` what goes with it.

    ``content`` or a descriptor in ``files`` is what is decoded, which may take so many seconds of ``processor`` time
    and so many ``seconds`` in all. It ``writes`` at most so many bytes of a file.
    """

    work: str
    words: Mapping[str, Any]
    content: bytes = b""
    files: Sequence[int] = ()
    processor: float = 10
    seconds: float = 30
    writes: int = 0


class _Gone(Exception):
    """The child ended before it answered; ``signal`` is what ended it, or 0."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    connection: socket.socket
    uses: int = 0

    @classmethod
    def begin(cls, memory: int) -> _Child:
        """Start one with at most ``memory`` bytes; raises OSError where the system has no more processes."""
        ours, its = socket.socketpair()
        path = {"PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)}
        known = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            process = subprocess.Popen(  # noqa: S603  our own module
                [sys.executable, "-P", "-s", "-m", "marketplace_api.gateways.decoding.child", str(memory)],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**known, **_ALLOCATOR, **path},
                process_group=0,  # the terminal's Ctrl-C is for us
            )
        except BaseException:
            frames.close(ours)
            raise
        finally:
            frames.close(its)
        return cls(process, ours)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def do(self, order: Order) -> Frame:
        """Its answer; raises TimeoutError at the deadline, and _Gone where it ended."""
        self.uses += 1
        deadline = time.monotonic() + order.seconds
        words = {"processor": order.processor, "seconds": order.seconds, "writes": order.writes, "work": order.work}
        try:
            frames.send(
                self.connection, Frame({**order.words, **words}, [order.content], order.files), deadline=deadline
            )
            return frames.receive(self.connection, MOST_ANSWER, deadline=deadline)
        except TimeoutError:
            raise
        except (EOFError, OSError, ValueError):
            self.end(STOP_SECONDS)  # what it says of its end is known when it has ended
            raise _Gone(max(0, -(self.process.returncode or 0))) from None

    def end(self, patience: float = 0) -> None:
        """Close its socket, and kill it unless it ends within ``patience`` seconds."""
        frames.close(self.connection)
        with suppress(subprocess.TimeoutExpired):
            if patience:
                self.process.wait(patience)
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Pool:
    """At most ``most`` children at a time, each with at most ``memory`` bytes.

    While all of them work, ``queue`` others wait for ``patience`` seconds each; see also :func:`patiently`.
    """

    name: str
    most: int
    memory: int = 1024 * 1024 * 1024
    patience: float = PATIENCE
    queue: int = QUEUE
    _idle: list[_Child] = field(default_factory=list)
    _busy: set[int] = field(default_factory=set)
    _working: int = 0
    _waiting: int = 0
    _changed: Condition = field(default_factory=Condition)
    _owner: int = 0
    # Kept, because to forget them would be to complain that they still run.
    _foreign: list[_Child] = field(default_factory=list)

    def run(self, order: Order) -> Frame:
        """What a child answers.

        Raises Invalid for what the child refuses, what takes too much to be decoded and what makes it crash;
        Unavailable while all are busy, or where the child was ended by somebody else; OSError of its writing.
        """
        with self._place():
            answer = self._done(order)
        words = answer.words
        if "refused" in words:
            code, message = words["refused"]
            raise refused(str(code), str(message))
        if words.get("failed") == "memory":
            raise self._too_costly(order, "memory")
        if "errno" in words:
            number = int(words["errno"] or 0)
            raise OSError(number, os.strerror(number))
        if "failed" in words:
            # The bytes of a stranger led the libraries somewhere that nobody foresaw.
            log.error("decoder failed", extra={"pool": self.name, "work": order.work, "error": str(words["failed"])})
            raise _broken()
        return answer

    def close(self) -> None:
        """End all children that wait for work; those that work end with this process."""
        with self._changed:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for child in idle:
                child.end()

    def pids(self) -> list[int]:
        """The children that there are, for those who look after them."""
        with self._changed:
            return sorted({*self._busy, *(child.process.pid for child in self._idle)})

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._changed:
            self._adopt()
            if self._working >= self.most:
                self._wait()
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify()

    def _adopt(self) -> None:
        """After a fork: the children are those of the process that we were made from."""
        if self._owner != os.getpid():
            if self._owner == 0:
                atexit.register(self.close)
            for child in self._idle:
                frames.close(child.connection)  # which else would stay open when our parent is gone
            self._foreign += self._idle
            self._owner, self._idle, self._working, self._waiting = os.getpid(), [], 0, 0

    def _wait(self) -> None:
        free, patient = False, _PATIENT.get()
        if patient or self._waiting < self.queue:
            self._waiting += 1
            try:
                free = self._changed.wait_for(
                    lambda: self._working < self.most, PATIENT_SECONDS if patient else self.patience
                )
            finally:
                self._waiting -= 1
        if not free:
            raise Unavailable(
                "Too many files are being read at the moment; nothing was saved.", retry_after=RETRY_AFTER
            )

    def _done(self, order: Order) -> Frame:
        child = self._take()
        try:
            answer = child.do(order)
        except BaseException as error:
            child.end()
            if isinstance(error, TimeoutError):
                raise self._ended(order, "time") from None
            if isinstance(error, _Gone):
                raise self._judged(order, error.signal) from None
            raise
        else:
            self._give_back(child, grown=bool(answer.words.get("grown")))
            return answer
        finally:
            with self._changed:
                self._busy.discard(child.process.pid)

    def _take(self) -> _Child:
        """One that waits for work, or a new one; those that were ended meanwhile are forgotten."""
        child = None
        while child is None:
            with self._changed:
                child = self._idle.pop() if self._idle else None
            if child is None:
                try:
                    child = _Child.begin(self.memory)
                except OSError as error:
                    log.exception("decoder cannot be started", extra={"pool": self.name})
                    raise Unavailable(
                        "Files cannot be read at the moment; nothing was saved.", retry_after=10
                    ) from error
            elif not child.is_alive():
                child.end()
                child = None
        with self._changed:
            self._busy.add(child.process.pid)
        return child

    def _give_back(self, child: _Child, *, grown: bool) -> None:
        if grown or child.uses >= USES:
            child.end()
            return
        with self._changed:
            self._idle.append(child)

    def _judged(self, order: Order, number: int) -> Exception:
        if number in _TOO_COSTLY:
            return self._too_costly(order, "processor")
        if number in _CRASHES:
            log.warning("decoder crashed", extra={"pool": self.name, "work": order.work, "signal": number})
            return _broken()
        return self._ended(order, f"signal {number}")

    def _too_costly(self, order: Order, what: str) -> Exception:
        log.warning("decoder at its limit", extra={"pool": self.name, "work": order.work, "limit": what})
        return refused("too_costly", f"The file takes too much {_WORDS[what]} to be read. Export it anew, or smaller.")

    def _ended(self, order: Order, why: str) -> Unavailable:
        """Not by what is in the file alone: the machine is busy, or somebody ended the child."""
        log.warning("decoder ended", extra={"pool": self.name, "work": order.work, "reason": why})
        return Unavailable("The file could not be read in time; nothing was saved. Try again soon.", retry_after=5)


def _broken() -> Exception:
    return refused("broken_file", "The file cannot be read: it is damaged. Export it anew.")


_PATIENT: ContextVar[bool] = ContextVar("patient", default=False)
_WORDS = {"memory": "memory", "processor": "computing"}

PICTURES = Pool("pictures", 2)
# A video takes a processor for seconds, so the pictures beside it keep the others.
VIDEOS = Pool("videos", 1)


def configure(*, most: int, memory: int) -> None:
    """How many children decode pictures beside each other, and how many bytes each of any kind may take."""
    PICTURES.most = most
    PICTURES.memory = VIDEOS.memory = memory


@contextmanager
def patiently() -> Iterator[None]:
    """In this block, and this thread, one waits for a free child as long as it takes: for what nobody waits for."""
    token = _PATIENT.set(True)
    try:
        yield
    finally:
        _PATIENT.reset(token)
