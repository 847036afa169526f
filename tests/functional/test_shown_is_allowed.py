"""What is shown is allowed, and what is not shown is refused: for every role, in every state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.hal import affordances
from marketplace_api.resources.catalog.listings import ListingContext, ListingsContext
from marketplace_api.resources.identity.accounts import AuthContext, MeContext, SessionContext
from tests.factories.accounts import People, make_user
from tests.factories.conversations import block, send
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.reports import make_report
from tests.support.client import Client
from tests.support.samples import fill, sample

ROLES = ("anonymous", "customer", "suspended", "moderator", "admin", "owner", "suspended_owner", "moderating_owner")
STATES = (*LISTING_WORKFLOW.states, "deleted", "active-under-review", "active-verified")
REFUSED = {401, 403, 404, 405, 409, 410}
# What well-formed input may still meet: a token or password that is wrong.
DATA_ERRORS = {"invalid_token", "token_invalid", "wrong_password", "invalid_credentials", "already_taken"}


@contextmanager
def undone(databases: Any) -> Iterator[None]:
    """Whatever a request changes is taken back."""
    savepoint = databases.connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def documents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document and everything embedded in it."""
    yield document
    for child in document.get("_embedded", {}).values():
        for item in child if isinstance(child, list) else [child]:
            yield from documents(item)


def links(document: dict[str, Any]) -> Iterator[str]:
    for relation, found in document.get("_links", {}).items():
        if relation.startswith("mkt:"):
            yield f"/api/rels/{relation.removeprefix('mkt:')}"
        for link in (
            found if isinstance(found, list) and relation != "curies" else [found] if relation != "curies" else []
        ):
            yield link["href"].partition("{" if link.get("templated") else "#")[0]


class World:
    """One listing of somebody's, and callers of every kind."""

    def __init__(self, session: Session, people: People, state: str) -> None:
        role_of_owner = {"roles": ["moderator"]}
        self.people = people
        self.owners = {
            "owner": make_user(session),
            "suspended_owner": make_user(session, state="suspended"),
            "moderating_owner": make_user(session, **role_of_owner),
        }
        self.session, self.state = session, state

    def caller(self, role: str) -> tuple[Client, Any]:
        """A client of this role, and the listing that it meets."""
        owner = self.owners.get(role, self.owners["owner"])
        row = make_listing(self.session, owner, **_values(self.state))
        make: dict[str, Callable[[], Client]] = {
            "anonymous": self.people.anonymous,
            "customer": self.people.customer,
            "suspended": self.people.suspended,
            "moderator": self.people.moderator,
            "admin": self.people.admin,
        }
        client = self.people.client_for(owner) if role in self.owners else make[role]()
        return client, row


def _values(state: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    match state:
        case "deleted":
            return {"deleted_at": now - timedelta(days=1)}
        case "active-under-review":
            return {"review_requested_at": now}
        case "active-verified":
            return {"is_verified_listing": True}
    return {"status": state}


@pytest.mark.parametrize("role", ROLES)
def test_everything_shown_from_the_entry_on_works(role: str, databases: Any, db: Session, people: People) -> None:
    world = World(db, people, "active")
    client, row = world.caller(role)
    known = {"listing_id": row.listing_id, "user_id": make_user(db).user_id}
    if client.user is not None:
        send(db, make_user(db), client.user)
        block(db, client.user, make_user(db))
        make_notification(db, client.user, make_user(db))
        make_report(db, make_user(db), "listing", row.listing_id)
        make_listing(db, make_user(db), status="pending_verification")
    waiting, seen, tried = ["/api"], set(), 0
    while waiting:
        path = waiting.pop().partition("#")[0]
        if path in seen or not path.startswith("/api") or path == "/api/stream":
            continue  # what other processes serve has tests of its own
        seen.add(path)
        response = client.get(path, Accept="application/prs.hal-forms+json")
        if path == "/api/search/suggestions":
            assert response.status_int == 400  # the template's parameter is missing
            continue
        assert response.status_int == 200, f"{role} was shown {path}: {response.text}"
        for document in documents(response.json):
            waiting.extend(links(document))
            for name, template in document.get("_templates", {}).items():
                tried += 1
                with undone(databases):
                    _assert_accepted(client, name, template, role, known)
    assert tried > 0 or role == "suspended"
    assert len(seen) > 10


def _assert_accepted(client: Client, name: str, template: dict[str, Any], role: str, known: dict[str, Any]) -> None:
    body = fill(template, known) if template["properties"] else None
    answer = client.request(
        template["method"], template["target"], body or ({} if template["method"] != "DELETE" else None)
    )
    accepted = answer.status_int < 300 or answer.json.get("code") in DATA_ERRORS
    assert accepted, f"{role} was shown {name} at {template['target']}: {answer.status_int} {answer.text}"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ROLES)
def test_a_listing_offers_what_it_allows_and_refuses_the_rest(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client, row = World(db, people, state).caller(role)
    path = f"/api/listings/{row.listing_id}"
    shown = _templates(client, path, row.listing_id, state)
    for operation in affordances.ALL:
        if operation.context is not ListingContext or operation.is_safe:
            continue
        with undone(databases):
            _check(client, operation, path + operation.suffix, shown, (role, state))


def _templates(client: Client, path: str, listing_id: int, state: str) -> dict[str, Any]:
    """What the caller is shown for the listing: at its own address, or among the caller's deleted ones."""
    response = client.get(path, Accept="application/prs.hal-forms+json")
    if response.status_int == 200:
        return dict(response.json["_templates"])
    assert response.status_int in (404, 410)
    if state == "deleted" and client.token is not None:
        mine = client.forms("/api/users/me/listings?status=deleted")["_embedded"]["listings"]
        found = [item["_templates"] for item in mine if item["listing_id"] == listing_id]
        return dict(found[0]) if found else dict(response.json.get("_templates", {}))
    return {}


def _check(client: Client, operation: Any, target: str, shown: dict[str, Any], where: tuple[str, str]) -> None:
    template = shown.get(operation.name)
    body = fill(template) if template is not None else _sample(operation)
    answer = client.request(operation.method, target, body if operation.body is not None else None)
    if template is not None:
        assert answer.status_int < 300, f"{where} shown {operation.name}: {answer.status_int} {answer.text}"
    else:
        assert answer.status_int in REFUSED, f"{where} not shown {operation.name}: {answer.status_int} {answer.text}"


def _sample(operation: Any) -> dict[str, Any]:
    return sample(operation.body) if operation.body else {}


@pytest.mark.parametrize("role", ROLES)
def test_the_other_contexts_offer_what_they_allow_and_refuse_the_rest(
    role: str, databases: Any, db: Session, people: People
) -> None:
    client, _row = World(db, people, "active").caller(role)
    places = {ListingsContext: "/api/listings", MeContext: "/api/users/me", AuthContext: "/api/auth"}
    if client.token is not None:
        sessions = client.forms("/api/auth/sessions")["_embedded"]["sessions"]
        places[SessionContext] = sessions[0]["_links"]["self"]["href"]
    for operation in affordances.ALL:
        if operation.context not in places or operation.is_safe or not operation.template:
            continue
        base = places[operation.context]
        page = base + operation.suffix if operation.context is AuthContext else base
        response = client.get(page, Accept="application/prs.hal-forms+json")
        shown = response.json.get("_templates", {}) if response.status_int == 200 else {}
        with undone(databases):
            template = shown.get(operation.name)
            answer = client.request(
                operation.method, base + operation.suffix, fill(template) if template else _sample(operation)
            )
            if template is not None:
                accepted = answer.status_int < 300 or answer.json.get("code") in DATA_ERRORS
                assert accepted, f"{role} shown {operation.name}: {answer.status_int} {answer.text}"
            else:
                assert answer.status_int in REFUSED, f"{role} not shown {operation.name}: {answer.text}"
