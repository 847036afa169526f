"""Which function represents which context."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from marketplace_api.hal.representation import Representation
from marketplace_api.resources.base import Context

_BY_CONTEXT: dict[type[Context], Callable[..., Representation]] = {}
Function = TypeVar("Function", bound=Callable[..., Representation])


def represents(context: type[Context]) -> Callable[[Function], Function]:
    """Decorator: the function that makes the representation of contexts of this class."""

    def decorate(function: Function) -> Function:
        _BY_CONTEXT[context] = function
        return function

    return decorate


def represent(context: Context) -> Representation:
    return _BY_CONTEXT[type(context)](context)
