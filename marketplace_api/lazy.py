"""Loading modules by name, when they are first needed.

Two kinds of modules are loaded this way: optional libraries that may not be installed, and modules so heavy that only
the processes that use them shall pay for their memory and start-up time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(name: str) -> Any:
    """The module of this full name, imported unless it already is; raises ``ImportError``.

    Callers pass a constant name where they can, so that a search for the module finds them.
    """
    return import_module(name)
