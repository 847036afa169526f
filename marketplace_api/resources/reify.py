"""Properties that are worked out once for each context, and never wait for another request's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["reify"]

if TYPE_CHECKING:
    from functools import cached_property as reify
else:

    class reify:  # noqa: N801  used as a decorator
        """As ``functools.cached_property``, which up to Python 3.11 holds one lock for all instances.

        Whoever waits for that lock inside of a transaction keeps a connection of the server's, and who has got the lock
        may be waiting for just that one: behind a pooler, for ever.
        """

        def __init__(self, work_out: Any) -> None:
            self._work_out = work_out
            self.__doc__ = work_out.__doc__

        def __set_name__(self, _owner: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: Any, _owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._work_out(instance)
            return value
