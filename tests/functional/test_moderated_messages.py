"""A reported message as moderators meet it, and what the two who wrote to each other see of it: over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.trust.moderation import messages
from marketplace_api.hal import affordances
from marketplace_api.models.community.conversations import REMOVED
from marketplace_api.resources.trust.moderated_messages import ModeratedMessageContext
from tests.factories.accounts import People, make_user
from tests.factories.conversations import send
from tests.factories.reports import make_report
from tests.functional.test_reports import QUEUE
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS

WHERE = "/api/moderation/messages"
WHY = {"reason": "Insults."}
BODIES: dict[str, dict[str, Any] | None] = {"delete": WHY, "restore": None}
ROLES = (
    "anonymous",
    "customer",
    "suspended",
    "suspended_moderator",
    "moderator",
    "admin",
    "sender",
    "receiver",
    "sending_moderator",
    "receiving_moderator",
)


def test_from_the_report_to_the_removal_and_back(db: Session, people: People) -> None:
    anna, ben, moderator = people.customer(), people.customer(), people.moderator()
    message = send(db, anna.user, ben.user, "You fool")
    report = make_report(db, ben.user, "message", message.message_id)
    path = f"{WHERE}/{message.message_id}"
    assert moderator.get(f"{QUEUE}/{report.report_id}").json["_links"]["mkt:subject"]["href"] == path
    assert moderator.get(path).json["content"] is None
    moderator.post(f"{QUEUE}/{report.report_id}/assign", {})
    shown = moderator.get(path)
    assert (shown.json["content"], shown.json["status"]) == ("You fool", "sent")

    assert moderator.delete(path, {}).status_int == 400
    stale = moderator.delete(path, WHY, If_Match='"9.x"')
    assert (stale.status_int, stale.json["current"]["status"]) == (412, "sent")
    removed = moderator.delete(path, WHY, If_Match=shown.headers["ETag"])
    assert removed.status_int == 200, removed.text
    assert (removed.json["status"], removed.json["moderation_reason"]) == ("deleted", "Insults.")
    again = moderator.delete(path, WHY)
    assert (again.status_int, again.json["code"], again.json["state"]) == (409, "wrong_state", "deleted")

    own = anna.get(f"/api/messages/{message.message_id}").json
    assert (own["content"], own["is_removed"], own["moderation_reason"]) == (REMOVED, True, "Insults.")
    theirs = ben.get(f"/api/messages/{message.message_id}").json
    assert (theirs["content"], theirs["is_removed"]) == (REMOVED, True)
    assert "moderation_reason" not in theirs
    (talk,) = ben.get("/api/conversations").json["conversations"]
    assert (talk["last_message_preview"], talk["unreadCount"]) == (REMOVED, 0)
    assert "You fool" not in ben.get(f"/api/conversations/{message.conversation_id}/messages").text

    assert moderator.post(f"{path}/restore").json["status"] == "sent"
    (talk,) = ben.get("/api/conversations").json["conversations"]
    assert (talk["last_message_preview"], talk["unreadCount"]) == ("You fool", 1)
    assert moderator.post(f"{path}/restore").status_int == 409


def test_nobody_learns_here_what_was_reported(db: Session, people: People) -> None:
    anna, ben = people.customer(), people.customer()
    private, message = send(db, anna.user, ben.user), send(db, anna.user, ben.user)
    make_report(db, ben.user, "message", message.message_id)
    for client in (anna, ben, people.customer()):
        answers = [client.get(f"{WHERE}/{each.message_id}") for each in (private, message)]
        assert [answer.status_int for answer in answers] == [404, 404]
        details = [{**answer.json, "request_id": "", "instance": ""} for answer in answers]
        assert details[0] == details[1]
    assert people.moderator().get(f"{WHERE}/{private.message_id}").status_int == 404
    assert people.moderator().get(f"{WHERE}/x").status_int == 404


def test_the_report_links_to_the_message_only_where_it_can_be_opened(db: Session, people: People) -> None:
    anna, ben = people.customer(), people.caller(roles=["moderator"])
    message = send(db, anna.user, ben.user)
    report = make_report(db, ben.user, "message", message.message_id)
    assert "mkt:subject" not in ben.get(f"{QUEUE}/{report.report_id}").json["_links"]


@pytest.mark.parametrize("state", ["sent", "deleted", "erased", "unreported"])
@pytest.mark.parametrize("role", ROLES)
def test_a_reported_message_offers_what_it_allows_and_refuses_the_rest(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    sender = make_user(db, roles=["moderator"] if role == "sending_moderator" else [])
    receiver = make_user(db, roles=["moderator"] if role == "receiving_moderator" else [])
    message = send(db, sender, receiver)
    if state != "unreported":
        make_report(db, receiver, "message", message.message_id)
    if state in ("deleted", "erased"):  # the sender is
        messages.remove(db, operator("tester"), message.message_id, reason="Spam.")
    client = _client(people, role, sender, receiver)
    if state == "erased" and not role.startswith("send"):
        db.execute(sa.text("UPDATE users SET state = 'erased' WHERE user_id = :id"), {"id": sender.user_id})
    db.commit()
    path = f"{WHERE}/{message.message_id}"
    page = client.get(path, Accept=HAL_FORMS)
    shown = page.json["_templates"] if page.status_int == 200 else {}
    decides = role in ("moderator", "admin") and state != "unreported"
    assert page.status_int == (200 if decides else 401 if role == "anonymous" else 404)
    assert {*shown} - {"default"} == (
        {"sent": {"delete"}, "deleted": {"restore"}}.get(state, set()) if decides else set()
    )
    tried = [each for each in affordances.ALL if each.context is ModeratedMessageContext and not each.is_safe]
    assert {operation.name for operation in tried} == {*BODIES}
    for operation in tried:
        with undone(databases):
            answer = client.request(operation.method, path + operation.suffix, BODIES[operation.name])
        assert answer.status_int == 200 if operation.name in shown else answer.status_int in REFUSED, answer.text


def _client(people: People, role: str, sender: Any, receiver: Any) -> Any:
    if role in ("sender", "sending_moderator"):
        return people.client_for(sender)
    if role in ("receiver", "receiving_moderator"):
        return people.client_for(receiver)
    if role == "suspended_moderator":
        return people.caller(roles=["moderator"], state="suspended")
    return getattr(people, role)()
