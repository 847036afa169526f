"""Objects made of fields: request bodies and query strings, and how their errors are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, ClassVar

import colander

from marketplace_api.errors import FieldError
from marketplace_api.schemas.types import SHOWN, FromQuery, Integer, InvalidField, ListOf, OneOf, StrictType, Text

HYPERMEDIA = frozenset({"_links", "_embedded", "_templates"})
MAX_UNKNOWN = 20  # unknown fields that are told at most: to guess what was meant by each of 100,000 takes seconds


class ObjectType(StrictType):
    """A JSON object with known fields; unknown ones are errors, read-only ones are ignored (so a GET can be PUT back)."""

    noun = "field"

    def deserialize(self, node: colander.SchemaNode, cstruct: Any) -> Any:
        if cstruct is colander.null:
            return colander.null
        if not isinstance(cstruct, dict):
            raise InvalidField(node, "not_an_object", "Send a JSON object.")
        problems = colander.Invalid(node)
        result: dict[str, Any] = {}
        known = {}
        for position, child in enumerate(node.children):
            known[child.name] = child
            try:
                value = child.deserialize(cstruct.get(child.name, colander.null))
            except colander.Invalid as problem:
                problems.add(problem, position)
            else:
                if value is not colander.drop:
                    result[child.name] = value
        ignored: frozenset[str] = getattr(node, "read_only", frozenset())
        unknown = (name for name in cstruct if name not in known and name not in ignored and name not in HYPERMEDIA)
        for name in islice(unknown, MAX_UNKNOWN):
            problems.add(self._unknown(name, list(known)))
        if problems.children:
            raise problems
        return result

    def _unknown(self, name: str, known: list[str]) -> InvalidField:
        close = get_close_matches(name[:SHOWN], known, 1)
        hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known) or 'none'}."
        unknown = colander.SchemaNode(colander.String(), name=name[:SHOWN])
        return InvalidField(unknown, f"unknown_{self.noun}", f"There is no {self.noun} of this name. {hint}")

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object"}

    # Colander asks types of nodes with children for these two.
    def flatten(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def cstruct_children(self, _node: colander.SchemaNode, _cstruct: Any) -> list[Any]:
        return []


class Body(colander.SchemaNode):
    """Base of request bodies. ``read_only`` names fields of the representation that are ignored when sent back.

    ``together`` says in JSON Schema what the validator demands of several fields at once.
    """

    schema_type = ObjectType
    read_only: ClassVar[frozenset[str]] = frozenset()
    together: ClassVar[Mapping[str, Any]] = {}


class ParametersType(ObjectType):
    """A query string's parameters."""

    noun = "parameter"


class Query(colander.SchemaNode):
    """Base of query strings."""

    schema_type = ParametersType


class PageQuery(Query):
    """Which part of a list."""

    page = colander.SchemaNode(FromQuery(Integer(1)), missing=1, description="Page number, from 1.")
    limit = colander.SchemaNode(FromQuery(Integer(1, 100)), missing=10, description="Items a page.")
    cursor = colander.SchemaNode(FromQuery(Text(2000)), missing=None, description="Opaque; taken from a `next` link.")


def validated(body: Body, document: Any, stored: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What a body says; raises ``colander.Invalid``.

    Optional fields that say exactly what is ``stored`` are not held to the rules: what was kept under an older one can so
    be read, sent back, and the rest of it edited.
    """
    found: dict[str, Any]
    try:
        found = body.deserialize(document)
    except colander.Invalid:
        sent, unchanged = _divided(body, document, stored())
        if not unchanged:
            raise
        found = body.deserialize(sent)
        _put_back(found, unchanged)
    return found


def _divided(node: colander.SchemaNode, document: Any, stored: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The document without what is unchanged, and that."""
    if not isinstance(document, dict):
        return document, {}
    optional = {child.name: child for child in node.children if child.missing is colander.drop}
    sent: dict[str, Any] = {}
    unchanged: dict[str, Any] = {}
    for name, value in document.items():
        if name in optional and name in stored and isinstance(value, dict) and isinstance(stored[name], Mapping):
            sent[name], inner = _divided(optional[name], value, stored[name])
            unchanged |= {name: inner} if inner else {}
        elif name in optional and name in stored and value == stored[name]:
            unchanged[name] = value
        else:
            sent[name] = value
    return sent, unchanged


def _put_back(found: dict[str, Any], unchanged: Mapping[str, Any]) -> None:
    for name, value in unchanged.items():
        if isinstance(value, dict):
            _put_back(found.setdefault(name, {}), value)
        else:
            found[name] = value


def only(wanted: str, other: str) -> dict[str, Any]:
    """JSON Schema of an object that names one target and not the other."""
    return {"required": [wanted], "properties": {wanted: {"type": "integer"}, other: {"type": "null"}}}


def names(choices: tuple[str, ...], description: str) -> colander.SchemaNode:
    """A comma-separated list of names out of ``choices``."""
    from_choices = FromQuery(ListOf(OneOf(choices), len(choices), unique=True))
    return colander.SchemaNode(from_choices, missing=(), description=description)


def field_errors(problem: colander.Invalid, location: str) -> list[FieldError]:
    """Every leaf of a Colander error as a :class:`FieldError` with its dotted path."""
    found: list[FieldError] = []
    _collect(problem, location, (), found)
    return found


def _collect(problem: colander.Invalid, location: str, path: tuple[str, ...], found: list[FieldError]) -> None:
    here = (*path, problem.node.name) if problem.node.name else path
    for child in problem.children:
        _collect(child, location, here, found)
    if problem.msg is not None:
        code = getattr(problem, "code", "required" if problem.node.required else "invalid")
        message = "This field is required." if code == "required" else str(problem.msg)
        found.append(FieldError(location, ".".join(here), code, message))
