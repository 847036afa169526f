"""Our Cornice service: declares operations and runs views between validation and representation.

Cornice has no maintainer, so this file and ``app.py`` are the only ones that know it. Its validators, CORS and error
handling stay unused; routing, verbs, permissions, 405 and the registry of services are its part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import cornice
from cornice.pyramidhook import register_service_views
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.errors import FieldError, Invalid
from marketplace_api.hal import affordances
from marketplace_api.hal.affordances import Applies, Operation, always
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON, MERGE_PATCH, Representation, form
from marketplace_api.resources.base import Context
from marketplace_api.schemas.base import Body, Query
from marketplace_api.schemas.uploads import MULTIPART, UploadForm
from marketplace_api.security.permissions import Permission
from marketplace_api.views.idempotency import answered_once
from marketplace_api.views.negotiation import negotiate, preferences, read_body, read_query
from marketplace_api.views.responses import rehearsed, respond
from marketplace_api.views.uploads import limit_megapixels, read_upload

View = Callable[[Request], Representation | Response]

SERVICES: list[Service] = []

# What was read may be sent back as what it was read as.
CONTENT_TYPES = {"PUT": (JSON, HAL, HAL_FORMS), "PATCH": (MERGE_PATCH, JSON)}

REHEARSAL = "With `Prefer: dry-run` it is checked and answered as if it were done, and nothing is kept."

# What Cornice's wrapper of a view asks a request for, the same for all: nothing of ours goes in there.
UNUSED: Mapping[str, Any] = {"errors": (), "info": {}}

_IDENTIFIER = re.compile(r"\{(\w+_id)\}")
# Results that are no representation: they are what they are, whatever the caller would rather have.
_AS_THEY_ARE = frozenset({"document", "file", "metrics"})


class Service(cornice.Service):
    """One URL pattern. ``on`` is the pattern of the context that it acts on, where that is not its own path."""

    renderer = "json"

    def __init__(
        self, name: str, path: str, context: type[Context], *, on: str | None = None, limits: str = "default"
    ) -> None:
        self.pattern = path
        self.context_class = context
        self.context_pattern = on or path
        self.limits = limits
        self.declared: list[Operation] = []
        # Identifiers are digits, so /users/me never matches /users/{user_id}.
        route = _IDENTIFIER.sub(r"{\1:\\d+}", path).replace("{key}", r"{key:[a-z]+-[a-z0-9-]+\.[a-z0-9]+}")
        super().__init__(name, route)
        SERVICES.append(self)

    def operation(
        self,
        method: str,
        name: str,
        permission: Permission,
        *,
        title: str,
        description: str = "",
        body: type[Body] | None = None,
        upload: UploadForm | None = None,
        query: type[Query] | None = None,
        applies: Applies = always,
        step: bool = False,
        success: int = 200,
        again: int | None = None,
        template: bool | None = None,
        shown_on: tuple[type[Context], ...] = (),
        result: str = "",
        errors: tuple[int, ...] = (),
        content_types: tuple[str, ...] = (),
        has_page: bool = False,
    ) -> Callable[[View], View]:
        """Declare an operation and the view that runs it; a ``step`` of a workflow can be rehearsed.

        One with an ``upload`` takes a form: the view finds the file as ``request.upload``, and its other fields, held
        to ``body``, as ``request.validated``. ``content_types`` are those of its body, where they are not its method's.
        The view of one that ``has_page`` answers with a page itself, where ``request.media`` is ``text/html``.
        """
        declared = Operation(
            name=name,
            method=method,
            path=self.pattern,
            suffix=self.pattern.removeprefix(self.context_pattern.rstrip("/")),
            context=self.context_class,
            permission=permission,
            title=title,
            description=f"{description} {REHEARSAL}".strip() if step else description,
            body=body() if body else Body() if method in ("POST", "PUT", "PATCH") else None,
            upload=upload,
            query=query() if query else None,
            applies=applies,
            step=step,
            success=success,
            again=again,
            content_types=content_types or ((MULTIPART,) if upload else CONTENT_TYPES.get(method, (JSON,))),
            template=method not in ("GET", "PATCH") if template is None else template,
            shown_on=shown_on,
            result=result,
            errors=errors,
            limits=self.limits,
            has_page=has_page,
        )
        affordances.register(declared)
        self.declared.append(declared)

        def decorate(view: View) -> View:
            self.add_view(method, _runner(declared, view), permission=permission.value)
            return view

        return decorate

    def offer_form(self) -> None:
        """Declare a GET on an address that takes nothing but a POST: the form of its first operation."""
        posted = self.declared[0]

        @self.operation(
            "GET", f"{posted.name}-form", posted.permission, title=f"The form: {posted.title}", result="form"
        )
        def show(request: Request) -> Representation:
            return form(request.context, posted)


def _runner(operation: Operation, view: View) -> Callable[[Request], Response]:
    """The view as Cornice registers it: what comes in is checked before it, what goes out is written after it."""

    def run(request: Request) -> Response:
        request.media = JSON if operation.result in _AS_THEY_ARE else negotiate(request, operation)
        request.query = read_query(request, operation.query)
        if operation.upload is not None:
            request.upload = read_upload(request, operation)
            request.validated = request.upload.fields
        elif operation.body is not None:
            request.validated = read_body(request, operation)
        if not operation.is_safe and "dry-run" in preferences(request):
            return _rehearse(request, operation, view)
        if operation.method == "POST" and "HTTP_IDEMPOTENCY_KEY" in request.environ:
            return answered_once(request, lambda: _answer(request, operation, view))
        return _answer(request, operation, view)

    run.__name__ = view.__name__
    run.__doc__ = view.__doc__
    return run


def _rehearse(request: Request, operation: Operation, view: View) -> Response:
    """A workflow step tried out. Elsewhere the preference is refused: who asks for no effect must not get one."""
    if not operation.step:
        problem = FieldError("header", "Prefer", "not_supported", "`dry-run` works for the steps of a workflow.")
        raise Invalid("This operation cannot be tried out; nothing was done.", errors=[problem])
    return rehearsed(request, _answer(request, operation, view))


def _answer(request: Request, operation: Operation, view: View) -> Response:
    # Not before an Idempotency-Key was looked up: what was done once is seldom possible again.
    if not operation.applies(request.context, request.actor):
        raise request.context.unavailable(operation.name)
    if operation.upload is not None:
        limit_megapixels(request, operation.upload)
    result = view(request)
    return respond(request, operation, result) if isinstance(result, Representation) else result


def includeme(config: Configurator) -> None:
    """The part of Cornice that we use: the registration of services.

    Its own ``includeme`` also gives every request a subscriber, two callbacks and lists of errors, 8 % of a cheap
    request, for the filters, validators and CORS that stay unused here.
    """
    config.registry.cornice_services = {}
    config.add_directive("add_cornice_service", register_service_views)
