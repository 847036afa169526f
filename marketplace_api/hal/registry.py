"""Which function represents which context, and which links higher contexts add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from marketplace_api.hal.representation import Links, Representation
from marketplace_api.resources.base import Context

_BY_CONTEXT: dict[type[Context], Callable[..., Representation]] = {}
_LINKS: dict[type[Context], list[Callable[[Any], Links]]] = {}
Function = TypeVar("Function", bound=Callable[..., Representation])
Adder = TypeVar("Adder", bound=Callable[[Any], Links])


def represents(context: type[Context]) -> Callable[[Function], Function]:
    """Decorator: the function that makes the representation of contexts of this class."""

    def decorate(function: Function) -> Function:
        _BY_CONTEXT[context] = function
        return function

    return decorate


def represent(context: Context) -> Representation:
    return _BY_CONTEXT[type(context)](context)


def adds_links(*contexts: type[Context]) -> Callable[[Adder], Adder]:
    """Decorator: the function that adds links to the representations of contexts of these classes."""

    def decorate(function: Adder) -> Adder:
        for context in contexts:
            _LINKS.setdefault(context, []).append(function)
        return function

    return decorate


def added_links(context: Context) -> Links:
    """The links that higher contexts add to the representation of this one."""
    return {name: found for add in _LINKS.get(type(context), ()) for name, found in add(context).items()}
