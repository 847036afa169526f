"""What is shown is allowed, and what is not shown is refused: on conversations, messages, profiles and listings, for
whoever asks and whatever happened between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations import inbox
from marketplace_api.hal import affordances
from marketplace_api.models.identity.accounts import User
from marketplace_api.resources.community.conversations import (
    BlockContext,
    BlocksContext,
    ConversationContext,
    MessageContext,
    MessagesContext,
)
from tests.factories.accounts import People, make_user
from tests.factories.conversations import actor_of, block, send
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.functional.test_shown_is_allowed import ROLES as LISTING_ROLES
from tests.functional.test_shown_is_allowed import STATES as LISTING_STATES
from tests.functional.test_shown_is_allowed import World as ListingWorld
from tests.support.client import HAL_FORMS, Client

CALLERS = ("side", "suspended", "stranger", "moderator", "admin", "anonymous")
SITUATIONS = (
    "open",
    "read",
    "archived",
    "hidden",
    "hidden and revived",
    "blocked by caller",
    "blocked by other",
    "both blocked",
    "other suspended",
    "other deactivated",
    "other banned",
    "other erased",
)


class World:
    """Two who wrote to each other, and one who asks: one of the two, or anybody else."""

    def __init__(self, db: Session, people: People, caller: str, situation: str) -> None:
        self.db = db
        side = make_user(db, state="suspended" if caller == "suspended" else "active")
        self.side, self.other = side, make_user(db)
        # As active accounts: what a suspended one once wrote is still there.
        writer = User(user_id=side.user_id, username=side.username, roles=side.roles, state="active")
        self.sent = send(db, writer, self.other, "Mine")
        self.got = send(db, self.other, side, "Yours")
        self.conversation = f"/api/conversations/{self.got.conversation_id}"
        self._make(situation, writer)
        make: dict[str, Callable[[], Client]] = {
            "stranger": people.customer,
            "moderator": people.moderator,
            "admin": people.admin,
            "anonymous": people.anonymous,
        }
        self.client = make[caller]() if caller in make else people.client_for(side)

    def _make(self, situation: str, writer: User) -> None:
        db, side, actor, conversation = self.db, self.side, actor_of(writer), self.got.conversation_id
        if situation == "read":
            inbox.mark_all_read(db, actor, conversation)
        elif situation == "archived":
            inbox.archive(db, actor, conversation, archived=True)
        elif situation.startswith("hidden"):
            inbox.hide(db, actor, conversation)
            if situation == "hidden and revived":
                self.got = send(db, self.other, side, "New")
        if situation in ("blocked by caller", "both blocked"):
            block(db, side, self.other)
        if situation in ("blocked by other", "both blocked"):
            block(db, self.other, side)
        if situation.startswith("other "):
            state = situation.removeprefix("other ")
            since = sa.func.now() if state == "deactivated" else None
            changed = (
                sa.update(User).where(User.user_id == self.other.user_id).values(state=state, deactivated_at=since)
            )
            db.execute(changed, execution_options={"synchronize_session": False})
        db.commit()

    def shown(self, page: str) -> dict[str, Any] | None:
        response = self.client.get(page, Accept=HAL_FORMS)
        return dict(response.json["_templates"]) if response.status_int == 200 else None


def settled_by(template: dict[str, Any]) -> dict[str, Any]:
    """The fields that the form itself fills in."""
    return {described["name"]: described["value"] for described in template["properties"] if "value" in described}


def check(world: World, databases: Any, shown: dict[str, Any], name: str, method: str, target: str, body: Any) -> None:
    """The operation ``name`` is accepted exactly if a template offers it, as the template says."""
    template = shown.get(name)
    if template is not None:
        assert (template["method"], template["target"]) == (method, target)
        settled = {
            described["name"]: described["value"] for described in template["properties"] if "value" in described
        }
        assert settled.items() <= (body or {}).items()
    with undone(databases):
        answer = world.client.request(method, target, body)
    if template is not None:
        assert answer.status_int in (200, 201), f"shown {name}: {answer.status_int} {answer.text}"
    else:
        # To ask again for what is so already is no error, but nothing that is offered.
        is_repeat = name == "block" and answer.status_int == 200
        assert is_repeat or answer.status_int in REFUSED, f"not shown {name}: {answer.status_int} {answer.text}"


def operations_on(context: type) -> list[Any]:
    return [operation for operation in affordances.ALL if operation.context is context and not operation.is_safe]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_conversation_offers_what_it_allows(
    caller: str, situation: str, databases: Any, db: Session, people: People
) -> None:
    world = World(db, people, caller, situation)
    shown = world.shown(world.conversation)
    assert (shown is None) == (caller not in ("side", "suspended") or situation == "hidden")
    for operation in operations_on(ConversationContext):
        target = world.conversation + operation.suffix
        check(
            world,
            databases,
            shown or {},
            operation.name,
            operation.method,
            target,
            None if operation.method == "DELETE" else {},
        )
    if shown is None:
        return
    written = {"conversation_id": world.got.conversation_id, "content": "Hello"}
    check(world, databases, shown, "message", "POST", "/api/messages", written)
    person = {"user_id": world.other.user_id}
    check(world, databases, shown, "block", "POST", "/api/users/me/blocks", person)
    check(world, databases, shown, "unblock", "DELETE", f"/api/users/me/blocks/{world.other.user_id}", None)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_message_offers_what_it_allows(
    caller: str, situation: str, databases: Any, db: Session, people: People
) -> None:
    world = World(db, people, caller, situation)
    for message in (world.sent, world.got):
        path = f"/api/messages/{message.message_id}"
        shown = world.shown(path) or {}
        assert ("read" in shown) == (caller == "side" and message is world.got and situation != "hidden")
        for operation in operations_on(MessageContext):
            check(world, databases, shown, operation.name, operation.method, path + operation.suffix, {})


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_profile_offers_what_it_allows(
    caller: str, situation: str, databases: Any, db: Session, people: People
) -> None:
    world = World(db, people, caller, situation)
    for person in (world.other, world.side):
        shown = world.shown(f"/api/users/{person.user_id}")
        if shown is None:
            assert person is world.other and situation in ("other deactivated", "other banned", "other erased")
            continue
        body = {"receiver_id": person.user_id, "content": "Hello"}
        check(world, databases, shown, "message", "POST", "/api/messages", body)
        check(world, databases, shown, "block", "POST", "/api/users/me/blocks", {"user_id": person.user_id})
        check(world, databases, shown, "unblock", "DELETE", f"/api/users/me/blocks/{person.user_id}", None)
        link = world.client.get(f"/api/users/{person.user_id}").json["_links"].get("mkt:message")
        assert (link is not None) == ("message" in shown)


@pytest.mark.parametrize("state", LISTING_STATES)
@pytest.mark.parametrize("role", LISTING_ROLES)
def test_a_listing_offers_to_write_where_that_is_allowed(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client, row = ListingWorld(db, people, state).caller(role)
    response = client.get(f"/api/listings/{row.listing_id}", Accept=HAL_FORMS)
    template = response.json.get("_templates", {}).get("message")
    with undone(databases):
        body = {"receiver_id": row.user_id, "listing_id": row.listing_id, "content": "Is it still there?"}
        answer = client.post("/api/messages", body)
    if template is None:
        assert answer.status_int in REFUSED
    else:
        settled = {
            described["name"]: described["value"] for described in template["properties"] if "value" in described
        }
        assert settled == {"receiver_id": row.user_id, "listing_id": row.listing_id}
        assert answer.status_int == 201


def test_the_block_itself_offers_to_take_it_back(databases: Any, db: Session, people: People) -> None:
    world = World(db, people, "side", "blocked by caller")
    path = f"/api/users/me/blocks/{world.other.user_id}"
    check(world, databases, world.shown(path) or {}, "unblock", "DELETE", path, None)
    suspended = World(db, people, "suspended", "blocked by caller")
    path = f"/api/users/me/blocks/{suspended.other.user_id}"
    assert suspended.shown(path) == {}
    check(suspended, databases, {}, "unblock", "DELETE", path, None)


def test_no_operation_is_left_out() -> None:
    covered = {ConversationContext: 4, MessageContext: 1, MessagesContext: 1, BlocksContext: 1, BlockContext: 1}
    assert {context: len(operations_on(context)) for context in covered} == covered
