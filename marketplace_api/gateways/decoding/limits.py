"""What a decoding process may use, held by the system: memory, processor time, time, files.

Linux holds all of it. macOS does not hold the memory; there the parent's deadline and the replacement of what has grown
are what remains.
"""

from __future__ import annotations

import ctypes
import math
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_DUMPABLE = 4
_LATER = 2  # seconds after which a child ends by itself, if its parent did not end it at the deadline


def settle(memory: int) -> None:
    """Bound this process for good: ``memory`` is bytes of address space. Nothing of it is ever dumped."""
    # Who stops a service asks its whole group; we end with our parent, which finishes what was begun.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A core dump would put somebody's document on a disk.
    _set(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _set(resource.RLIMIT_AS, memory)
    _soft(resource.RLIMIT_FSIZE, 0)


def begin(*, processor: float, seconds: float, writes: int) -> None:
    """Bound the next piece of work: seconds of processor time, seconds, and bytes of one file that it may write.

    The system ends the process at the first two (SIGXCPU, SIGALRM); beyond the third, writing fails with EFBIG.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + processor))
    _soft(resource.RLIMIT_FSIZE, writes)
    signal.alarm(math.ceil(seconds) + _LATER)


def end() -> None:
    """The piece of work is done."""
    signal.alarm(0)
    _soft(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
    _soft(resource.RLIMIT_FSIZE, 0)


def resident() -> int:
    """Bytes of memory that this process holds; the most that it held where the system tells no more."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _set(which: int, most: int) -> None:
    """Both limits, which cannot be raised again."""
    with suppress(ValueError, OSError):
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _soft(which: int, most: int) -> None:
    with suppress(ValueError, OSError):
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            most = hard if most == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, hard))
