"""What is shown is allowed, and what is not shown is refused: on one's own verification and on those of others, for
whoever asks and wherever the verification stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.trust.verifications import decisions, documents
from marketplace_api.domain.trust.verifications.workflow import VERIFICATION_WORKFLOW
from marketplace_api.hal import affordances
from marketplace_api.models.trust.verifications import Verification
from marketplace_api.resources.trust.verifications import (
    OwnVerificationContext,
    VerificationContext,
    VerificationsContext,
)
from tests.factories.accounts import People, make_user
from tests.factories.verifications import STATES, Office
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS, Client
from tests.support.samples import VALUES, fill

CALLERS = (
    "owner",
    "suspended_owner",
    "moderating_owner",
    "stranger",
    "suspended_moderator",
    "moderator",
    "admin",
    "anonymous",
)
OWN = "/api/users/me/verification"


class World:
    """One account whose verification stands at ``state``, and one who asks."""

    def __init__(self, db: Session, databases: Any, people: People, caller: str, state: str) -> None:
        registry = people.app.registry
        self.db, self.people = db, people
        self.office = Office(db, databases, registry.storage, registry.document_keys)
        self.owner = make_user(db, roles=["moderator"] if caller == "moderating_owner" else [])
        self.path = self._make(state)
        if caller == "suspended_owner":
            self.owner.state = "suspended"
            db.commit()
        self.client = self._client(caller)

    def _make(self, state: str) -> str:
        """The address of the verification among those of moderators; of none at all, one that leads nowhere."""
        if state == "none":
            return "/api/moderation/verifications/999999"
        row = self.office.submit(self.owner)
        if state in ("approved", "expired"):
            until = datetime.now(UTC) + timedelta(hours=1) if state == "expired" else None
            self.office.decide(row, "approve", expires_at=until)
        elif state in ("rejected", "purged"):
            self.office.decide(row, "reject")
        if state == "expired":
            past = {"expires_at": sa.func.now() - timedelta(seconds=1)}
            changed = sa.update(Verification).where(Verification.verification_id == row.verification_id)
            self.db.execute(changed.values(past), execution_options={"synchronize_session": False})
            assert decisions.expire_due(self.db, datetime.now(UTC)) == 1
        if state == "purged":
            assert documents.purge_due(self.db, datetime.now(UTC)) == 1
        self.db.commit()
        return f"/api/moderation/verifications/{row.verification_id}"

    def _client(self, caller: str) -> Client:
        people = self.people
        match caller:
            case "stranger":
                return people.customer()
            case "suspended_moderator":
                return people.caller(roles=["moderator"], state="suspended")
            case "moderator":
                return people.moderator()
            case "admin":
                return people.admin()
            case "anonymous":
                return people.anonymous()
        return people.client_for(self.owner)

    def document(self, page: str) -> dict[str, Any]:
        response = self.client.get(page, Accept=HAL_FORMS)
        return dict(response.json) if response.status_int == 200 else {}


def check(client: Client, databases: Any, operation: Any, target: str, shown: dict[str, Any]) -> None:
    """The operation is accepted exactly if a template offers it, as the template says."""
    template = shown.get(operation.name)
    if template is not None:
        assert (template["method"], template["target"]) == (operation.method, target)
    body = fill(template) if template is not None else _sample(operation)
    with undone(databases):
        answer = client.request(operation.method, target, body)
    if template is not None:
        assert answer.status_int == 200, f"shown {operation.name}: {answer.status_int} {answer.text}"
    else:
        assert answer.status_int in REFUSED, f"not shown {operation.name}: {answer.status_int} {answer.text}"


def _sample(operation: Any) -> dict[str, Any]:
    file = {"file": VALUES["file"]} if operation.upload is not None else {}
    return file | {child.name: VALUES[child.name] for child in operation.body.children if child.required}


def operations_on(context: type) -> list[Any]:
    return [operation for operation in affordances.ALL if operation.context is context and not operation.is_safe]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_verification_offers_what_it_allows(
    caller: str, state: str, databases: Any, db: Session, people: People
) -> None:
    world = World(db, databases, people, caller, state)
    found = world.document(world.path)
    assert bool(found) == (caller in ("moderator", "admin", "moderating_owner") and state != "none")
    for operation in operations_on(VerificationContext):
        check(world.client, databases, operation, world.path + operation.suffix, found.get("_templates", {}))
    link = found.get("_links", {}).get("mkt:document")
    with undone(databases):
        answer = world.client.get(f"{world.path}/document?reason=Routine")
    if link is None:
        assert answer.status_int in REFUSED
    else:
        assert link["href"] == f"{world.path}/document{{?reason}}"
        assert (answer.status_int, answer.body) == (200, VALUES["file"])


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("caller", CALLERS)
def test_the_queue_offers_what_it_allows(caller: str, state: str, databases: Any, db: Session, people: People) -> None:
    world = World(db, databases, people, caller, state)
    wanted = {"purged": "rejected", "none": "pending"}.get(state, state)
    queue = world.document(f"/api/moderation/verifications?status={wanted}&limit=100")
    assert bool(queue) == (caller in ("moderator", "admin", "moderating_owner"))
    entry = world.client.get("/api").json["_links"]
    assert ("mkt:verifications" in entry) == bool(queue)
    items = queue.get("_embedded", {}).get("verifications", [])
    assert len(items) == (1 if queue and state != "none" else 0)
    for item in items:
        own = world.document(world.path)
        assert (item["_templates"], item["_links"]) == (
            own["_templates"],
            {name: link for name, link in own["_links"].items() if name != "curies"},
        )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("caller", CALLERS)
def test_ones_own_verification_offers_what_it_allows(
    caller: str, state: str, databases: Any, db: Session, people: People
) -> None:
    world = World(db, databases, people, caller, state)
    found = world.document(OWN)
    assert bool(found) == (caller != "anonymous")
    own = state if caller.endswith("owner") else "none"
    if found:
        assert found["status"] == ("rejected" if own == "purged" else own)
        offered = "submit" in found["_templates"]
        may_send = own in ("none", "rejected", "expired", "purged")
        assert offered == (may_send and not caller.startswith("suspended"))
        assert (found["documents"] == []) == (own == "none")
    for operation in operations_on(OwnVerificationContext):
        check(world.client, databases, operation, OWN, found.get("_templates", {}))


def test_no_operation_and_no_state_is_left_out() -> None:
    covered = {VerificationContext: 2, OwnVerificationContext: 1, VerificationsContext: 0}
    assert {context: len(operations_on(context)) for context in covered} == covered
    assert {*STATES} == {*VERIFICATION_WORKFLOW.states, "purged"}
    for step in VERIFICATION_WORKFLOW:
        assert {*step.sources, step.target} <= {*VERIFICATION_WORKFLOW.states}
