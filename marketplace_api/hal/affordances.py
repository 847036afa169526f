"""Every operation of the API, declared once; 403, 400, OpenAPI and ``_templates`` all read this declaration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.resources.base import Context
from marketplace_api.schemas.base import Body, Query
from marketplace_api.schemas.uploads import UploadForm
from marketplace_api.security.permissions import Permission
from marketplace_api.security.policy import may

Applies = Callable[[Any, Actor], bool]
"""``(context, actor) -> bool``: whether the state of the context lets the operation run now."""


def always(_context: Any, _actor: Actor) -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One verb on one URL pattern.

    ``context`` is the class it runs on; ``suffix`` what its path has beyond the context's own; ``applies`` says in
    which state it runs; ``step`` that it is a step of a workflow, which can be rehearsed. ``template`` tells whether
    ``_templates`` offer it under ``name``; ``again`` is the status of a success that found everything done before;
    ``has_page`` that browsers get a page of it.
    """

    name: str
    method: str
    path: str
    suffix: str
    context: type[Context]
    permission: Permission
    title: str
    description: str
    body: Body | None
    upload: UploadForm | None
    query: Query | None
    applies: Applies
    step: bool
    success: int
    again: int | None
    content_types: tuple[str, ...]
    template: bool
    shown_on: tuple[type[Context], ...]
    result: str
    errors: tuple[int, ...]
    limits: str
    has_page: bool

    @property
    def is_safe(self) -> bool:
        return self.method == "GET"

    def on(self, page: Context) -> Context:
        """The context that decides: the ``page`` itself, or one as seen from there for an operation of another class."""
        return page if isinstance(page, self.context) else self.context.seen_from(page, self.path)

    def target(self, page: Context) -> str:
        """The address to send the operation to: for an operation shown elsewhere, its own path."""
        if not isinstance(page, self.context) and "{" not in self.path:
            return self.path
        return self.on(page).path + self.suffix


ALL: list[Operation] = []
_BY_CONTEXT: dict[type[Context], list[Operation]] = defaultdict(list)


def register(operation: Operation) -> None:
    """Make the operation known; each name is unique for a context and method."""
    ALL.append(operation)
    for context in {operation.context, *operation.shown_on}:
        _BY_CONTEXT[context].append(operation)


def offered_by(context: Context) -> Iterable[Operation]:
    """What could be done to a context of this class, whoever asks and whatever its state."""
    return _BY_CONTEXT.get(type(context), ())


def allowed(context: Context, actor: Actor) -> list[Operation]:
    """The unsafe operations that ``actor`` may run on ``context`` in its state, now."""
    return [
        operation for operation in offered_by(context) if operation.template and _is_allowed(operation, context, actor)
    ]


def _is_allowed(operation: Operation, context: Context, actor: Actor) -> bool:
    asked = operation.on(context)
    return may(actor, asked, operation.permission) and operation.applies(asked, actor)
