"""Accounts for those who look after the marketplace: looking through them, judging them, their roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import admin_search, lifecycle
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.identity import account_admin as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.identity.account_admin import AccountContext, AccountsContext
from marketplace_api.schemas.base import Body
from marketplace_api.schemas.identity import account_admin as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

ACCOUNTS = "/api/admin/users"
ONE = f"{ACCOUNTS}/{{user_id}}"
collection = Service("admin-users", ACCOUNTS, AccountsContext)
item = Service("admin-user", ONE, AccountContext)
roles = Service("admin-user-roles", f"{ONE}/roles", AccountContext, on=ONE)


@collection.operation(
    "GET",
    "list-accounts",
    P.ACCOUNT_INSPECT,
    title="Accounts",
    query=schemas.ListAccounts,
    result="accounts",
    description="In all states. E-mail addresses are personal: only admins see them whole, and find their beginnings.",
)
def find(request: Request) -> Representation:
    query = request.query
    wanted = admin_search.Criteria(
        search=query["search"] or "",
        sees_addresses=request.actor.administers,
        state=query["state"],
        role=query["role"],
        verified=query["verified"],
        sort=query["sortBy"],
        descending=(query["order"] or ("desc" if query["sortBy"] == "date_joined" else "asc")) == "desc",
    )
    page = admin_search.list_page(request.db, wanted, page_request(query))
    return represent.accounts(request, page, request.context)


@item.operation("GET", "read-account", P.ACCOUNT_INSPECT, title="Read an account", result="account")
def read(request: Request) -> Representation:
    return represent.account(request.context)


def _possible(step: str) -> Callable[[AccountContext, Actor], bool]:
    return lambda context, _actor: lifecycle.possible(context.row.state, step)


_JUDGEMENTS: tuple[tuple[str, Callable[..., Any], type[Body], str, str], ...] = (
    ("suspend", lifecycle.suspend, schemas.Suspend, "Suspend", "It may only read and appeal, until a time if given."),
    ("reinstate", lifecycle.reinstate, schemas.Judge, "Reinstate", "Lift a suspension or a ban."),
    ("ban", lifecycle.ban, schemas.Judge, "Ban", "Shut it out for good: its sessions end, its listings are hidden."),
)


def _judgement(name: str, act: Callable[..., Any], body: type[Body], title: str, description: str) -> Service:
    service = Service(f"admin-user-{name}", f"{ONE}/{name}", AccountContext, on=ONE)

    @service.operation(
        "POST",
        name,
        P.ACCOUNT_JUDGE,
        title=title,
        description=description,
        body=body,
        applies=_possible(name),
        result="account",
    )
    def judge(request: Request) -> Representation:
        version = expected_version(request)
        act(request.db, request.actor, request.context.row.user_id, **request.validated, expected_version=version)
        return represent.account(request.context.refreshed())

    return service


judgements = [_judgement(*judgement) for judgement in _JUDGEMENTS]


@roles.operation(
    "PUT",
    "set-roles",
    P.ACCOUNT_ROLES,
    title="Set roles",
    body=schemas.SetRoles,
    applies=_possible("set-roles"),
    result="account",
    description="Its sessions end, so that it acts at once.",
)
def set_roles(request: Request) -> Representation:
    lifecycle.set_roles(
        request.db,
        request.actor,
        request.context.row.user_id,
        request.validated["roles"],
        expected_version=expected_version(request),
    )
    return represent.account(request.context.refreshed())
