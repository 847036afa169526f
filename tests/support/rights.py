"""Root as anybody else, for tests of what rights keep a user from."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x20080522  # of the kernel's structures: _LINUX_CAPABILITY_VERSION_3
_PASSING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Set(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@contextmanager
def kept_out_by_rights() -> Iterator[None]:
    """The rights of files bind this thread, as they bind everybody but root.

    Root stays root, and so still reads what is root's own: the checkout and Python may lie below a folder that is closed
    to all others, which a change of the user would close to the test itself. Raises OSError where the kernel refuses.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Set * 2)()

    def call(name: str) -> None:
        if getattr(libc, name)(ctypes.byref(header), ctypes.byref(sets)) != 0:
            raise OSError(ctypes.get_errno(), name)

    call("capget")
    before = sets[0].effective
    sets[0].effective = before & ~_PASSING
    call("capset")
    try:
        yield
    finally:
        sets[0].effective = before
        call("capset")
