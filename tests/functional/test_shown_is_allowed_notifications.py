"""What is shown is allowed, and what is not shown is refused: on notifications and what is wanted of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications import inbox
from marketplace_api.hal import affordances
from marketplace_api.models.identity.accounts import User
from marketplace_api.resources.outbound.notifications import (
    NotificationContext,
    NotificationPreferencesContext,
    NotificationsContext,
)
from tests.factories.accounts import People, make_user
from tests.factories.conversations import actor_of
from tests.factories.notifications import make_notification
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS, Client
from tests.support.samples import fill

CALLERS = ("owner", "suspended", "stranger", "moderator", "admin", "anonymous")
STATES = ("unread", "read", "dismissed")


def caller_of(people: People, db: Session, role: str) -> tuple[Client, User]:
    """Who asks, and whose notification it is."""
    owner = make_user(db, state="suspended" if role == "suspended" else "active")
    make: dict[str, Callable[[], Client]] = {
        "stranger": people.customer,
        "moderator": people.moderator,
        "admin": people.admin,
        "anonymous": people.anonymous,
    }
    return (make[role]() if role in make else people.client_for(owner)), owner


def check(client: Client, databases: Any, context: type, page: str, base: str) -> set[str]:
    """Every operation of a context is accepted exactly if the page offers it; the names of those that it offers."""
    response = client.get(page, Accept=HAL_FORMS)
    shown = response.json["_templates"] if response.status_int == 200 else {}
    found = [operation for operation in affordances.ALL if operation.context is context and not operation.is_safe]
    for operation in found:
        template = shown.get(operation.name)
        target = base + operation.suffix
        body = None if operation.method == "DELETE" else fill(template) if template else {}
        if template is not None:
            same = {"PUT", "PATCH"} if operation.method == "PATCH" else {operation.method}  # one form stands for both
            assert template["method"] in same and template["target"] == target
        with undone(databases):
            answer = client.request(operation.method, target, body)
        if template is not None:
            assert answer.status_int == 200, f"shown {operation.name}: {answer.status_int} {answer.text}"
        else:
            assert answer.status_int in REFUSED, f"not shown {operation.name}: {answer.status_int} {answer.text}"
    return {operation.name for operation in found if operation.name in shown}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", CALLERS)
def test_a_notification_offers_what_it_allows(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client, owner = caller_of(people, db, role)
    note = make_notification(db, owner, make_user(db))
    if state != "unread":
        inbox.mark_read(db, actor_of(owner), note)
    if state == "dismissed":
        inbox.dismiss(db, actor_of(owner), note)
    db.commit()
    path = f"/api/notifications/{note}"
    offered = check(client, databases, NotificationContext, path, path)
    assert offered == ({"read", "dismiss"} if role == "owner" and state != "dismissed" else set())


@pytest.mark.parametrize("role", CALLERS)
def test_the_list_and_the_preferences_offer_what_they_allow(
    role: str, databases: Any, db: Session, people: People
) -> None:
    client, _owner = caller_of(people, db, role)
    may = role not in ("suspended", "anonymous")
    pages = {
        NotificationsContext: ("/api/notifications", "read-all"),
        NotificationPreferencesContext: ("/api/users/me/notification-preferences", "edit"),
    }
    for context, (path, name) in pages.items():
        assert check(client, databases, context, path, path) == ({name} if may else set())


def test_items_of_a_list_offer_what_they_do_alone(db: Session, people: People) -> None:
    client, owner = caller_of(people, db, "owner")
    note = make_notification(db, owner, make_user(db))
    (item,) = client.forms("/api/notifications")["_embedded"]["notifications"]
    assert item["_templates"] == client.forms(f"/api/notifications/{note}")["_templates"]
