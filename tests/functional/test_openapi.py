"""What the OpenAPI document says holds: the shapes of real answers, who may call, what preconditions do."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session
from webtest import TestResponse

from marketplace_api.domain.identity.api_keys import issue
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.outbound.notifications.unsubscribe import Subscription, token_for
from marketplace_api.hal import affordances, shapes
from marketplace_api.hal.affordances import Operation
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.resources.community.conversations import BlockContext
from marketplace_api.resources.outbound.mail import EmailUndoContext
from marketplace_api.resources.trust.moderated_messages import ModeratedMessageContext
from marketplace_api.views.openapi import openapi
from marketplace_api.views.openapi.paths import is_conditional, is_public
from tests.factories.accounts import PASSWORD, People, make_undo_token, make_user
from tests.factories.browsers import Browser
from tests.factories.conversations import block, send
from tests.factories.files import give_video, make_photo
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.phones import make_waiting_phone
from tests.factories.reports import make_report
from tests.factories.reviews import make_bookmark, make_review
from tests.factories.verifications import make_verification
from tests.factories.webhooks import make_delivery
from tests.support.client import Client
from tests.support.samples import VALUES, sample, sample_of

MEDIA = (JSON, HAL, HAL_FORMS)
OTHER_MEDIA = {"metrics": "text/plain", "file": "image/webp", "document": "image/png"}
OPERATIONS = {f"{operation.method} {operation.path}": operation for operation in affordances.ALL}
STATES = {
    "restore": "deleted",
    "publish": "inactive",
    "verify": "pending_verification",
    "reject": "pending_verification",
    "reinstate": "suspended",
}


def complaints(name: str, document: Any) -> list[str]:
    """What a component schema of the document has against ``document``."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": openapi()["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


def assert_fits(result: str, response: TestResponse, media: str, *, sparse: bool = False) -> None:
    assert response.status_int in (200, 201), response.text
    if result in OTHER_MEDIA:
        assert response.content_type == OTHER_MEDIA[result]
        return
    name = result if result in shapes.DOCUMENTS else shapes.component_name(result, media, sparse=sparse)
    assert response.content_type == (JSON if result in shapes.DOCUMENTS else media)
    assert complaints(name, response.json) == []


class Place:
    """A listing of the caller's own in the state that the operation needs, and addresses that lead to it."""

    def __init__(self, db: Session, people: People, state: str = "active", *, roles: tuple[str, ...] = ()) -> None:
        owner = make_user(db)
        self.client = people.client_for(make_user(db, roles=list(roles))) if roles else people.client_for(owner)
        values = {"deleted_at": owner.date_joined} if state == "deleted" else {"status": state}
        self.listing = make_listing(db, owner, **values)
        session = self.client.get("/api/auth/sessions").json["sessions"][0]["session_id"]
        self.parameters = {
            "listing_id": self.listing.listing_id,
            "user_id": owner.user_id,
            "session_id": session,
            "code": "gone",
            "rel": "me",
            "review_id": make_review(db, make_user(db), person=owner).review_id,
        }
        if state != "deleted":
            make_bookmark(db, owner, self.listing)
        self.add_conversation(db, self.client.user)
        self.parameters["notification_id"] = make_notification(db, self.client.user, make_user(db))
        report = make_report(db, self.client.user, "user", make_user(db).user_id)
        self.parameters |= make_delivery(db)
        event = db.execute(sa.select(sa.func.max(Event.event_id))).scalar()
        self.parameters |= {"report_id": report.report_id, "event_id": event}
        photo = make_photo(db, self.listing, people.app.registry.storage)
        give_video(db, self.listing, people.app.registry.storage)
        self.parameters |= {"photo_id": photo.photo_id, "key": photo.full_key}
        self.parameters["api_key_id"] = issue(db, operator("test"), name="till", scopes=["events:read"])[0].api_key_id
        wanted = Subscription(owner.user_id, "new_message")
        self.parameters["token"] = token_for(people.app.registry.app_settings.secret, wanted)
        self.parameters["verification_id"] = make_verification(db, people.app).verification_id
        self.parameters["subscription_id"] = Browser().subscribe(db, self.client.user)
        make_waiting_phone(db, people.app.registry.account_rules, self.client.user)
        self.undo_token = make_undo_token(db, people.app.registry.account_rules, owner)

    def add_conversation(self, db: Session, caller: User) -> None:
        """Somebody wrote to the caller, who has blocked somebody else."""
        message, self.blocked = send(db, make_user(db), caller), make_user(db)
        offended = make_user(db)
        self.reported = send(db, make_user(db), offended).message_id
        make_report(db, offended, "message", self.reported)
        block(db, caller, self.blocked)
        self.parameters |= {"message_id": message.message_id, "conversation_id": message.conversation_id}

    def address(self, operation: Operation) -> str:
        others = {
            BlockContext: {"user_id": self.blocked.user_id},
            ModeratedMessageContext: {"message_id": self.reported},
            EmailUndoContext: {"token": self.undo_token},
        }
        return operation.path.format_map(self.parameters | others.get(operation.context, {}))


@pytest.fixture(scope="module")
def world(shared_people: People) -> dict[tuple[str, bool], Place]:
    """By the state of the listing, and whether the caller is a moderator."""
    db = shared_people.session
    states = {"active", *STATES.values()}
    places = {
        (state, moderates): Place(db, shared_people, state, roles=("moderator",) if moderates else ())
        for state in states
        for moderates in (False, True)
    }
    db.commit()
    return places


@pytest.fixture
def places(world: dict[tuple[str, bool], Place], app: object) -> dict[tuple[str, bool], Place]:
    """The world, in which the test's requests arrive."""
    return world


@pytest.fixture
def place(places: dict[tuple[str, bool], Place]) -> Place:
    """A customer's, whose listing is active."""
    return places["active", False]


def body_of(operation: Operation) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    file = {"file": sample_of(operation.upload)} if operation.upload is not None else {}
    return file | sample(operation.body)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("operation", [o for o in affordances.ALL if o.is_safe], ids=lambda operation: operation.path)
def test_what_is_read_has_the_promised_shape(operation: Operation, media: str, people: People, place: Place) -> None:
    query = {"suggest": "?query=bic", "open-document": "?reason=Routine"}.get(operation.name, "")
    looks_after = {
        "metrics:read",
        "moderation:read",
        "account:inspect",
        "audit:read",
        "event:read",
        "key:manage",
        "webhook:read",
    }
    for_staff = operation.permission in looks_after or operation.path.startswith("/api/moderation/")
    client = people.admin() if for_staff else place.client
    assert_fits(operation.result, client.get(place.address(operation) + query, Accept=media), media)
    if is_public(operation) and operation.name != "metrics":
        assert_fits(operation.result, people.anonymous().get(place.address(operation) + query, Accept=media), media)


@pytest.mark.parametrize("media", MEDIA)
def test_what_is_written_is_answered_in_the_promised_shape(media: str, people: People, place: Place) -> None:
    nobody = people.anonymous()
    pair = nobody.request("POST", "/api/auth/register", _account(), headers={"Accept": media})
    assert_fits("token_pair", pair, media)
    body = {"refresh_token": pair.json["refresh_token"]}
    assert_fits("token_pair", nobody.request("POST", "/api/auth/refresh", body, headers={"Accept": media}), media)
    client = place.client
    made = client.request("POST", "/api/listings", _listing(), headers={"Accept": media})
    assert_fits("listing", made, media)
    path = made.headers["Location"]
    assert_fits("listing", client.request("PUT", path, {"title": "Chairs"}, headers={"Accept": media}), media)
    assert_fits("message", client.request("DELETE", path, headers={"Accept": media}), media)
    contact = {"contact_information": {"phone": "+49 30 1"}, "bio": "Reads."}
    assert_fits("me", client.request("PUT", "/api/users/me", contact, headers={"Accept": media}), media)
    gone = client.request("DELETE", "/api/users/me", {"password": PASSWORD}, headers={"Accept": media})
    assert_fits("message", gone, media)
    assert "erased_at" in gone.json


@pytest.mark.parametrize("media", MEDIA)
def test_bookmarks_and_reviews_have_the_promised_shape(media: str, people: People, place: Place) -> None:
    client, accepts = people.customer(), {"headers": {"Accept": media}}
    target = {"listing_id": place.listing.listing_id}
    for _ in ("made", "there already"):
        assert_fits("bookmark_made", client.request("POST", "/api/users/me/bookmarks", target, **accepts), media)
    made = client.request("POST", "/api/reviews", {**target, "rating": 5, "comment": "Fine."}, **accepts)
    assert_fits("review", made, media)
    path = made.headers["Location"]
    assert_fits("review", place.client.request("POST", f"{path}/reply", {"reply": "Thanks."}, **accepts), media)
    listing = f"/api/listings/{place.listing.listing_id}"
    assert_fits("listing", client.get(f"{listing}?embed=owner,reviews", Accept=media), media)
    assert_fits("reviews", client.get(f"{listing}/reviews?embed=reviewer", Accept=media), media)
    place.client.post(f"{listing}/deactivate")
    assert_fits("bookmarks", client.get("/api/users/me/bookmarks", Accept=media), media)
    sparse = client.get("/api/users/me/bookmarks?fields=title,is_available", Accept=media)
    assert_fits("bookmarks", sparse, media, sparse=True)
    moderator = people.moderator()
    assert_fits("message", moderator.request("DELETE", path, {"reason": "Spam."}, **accepts), media)
    assert_fits("review", client.get(path, Accept=media), media)


@pytest.mark.parametrize("media", MEDIA)
def test_verifications_have_the_promised_shape(media: str, people: People) -> None:
    client, moderator, accepts = people.customer(), people.moderator(), {"headers": {"Accept": media}}
    document = {"document_type": "passport", "file": VALUES["file"]}
    own = "/api/users/me/verification"
    assert_fits("own_verification", client.get(own, Accept=media), media)
    assert_fits("verification_receipt", client.request("POST", own, document, **accepts), media)
    queue = "/api/moderation/verifications"
    path = moderator.get(f"{queue}?limit=100").json["verifications"][-1]["_links"]["self"]["href"]
    rejected = moderator.request("POST", f"{path}/reject", {"reason": "Blurred."}, **accepts)
    assert_fits("verification", rejected, media)
    assert_fits("verifications", moderator.get(f"{queue}?status=rejected", Accept=media), media)
    assert_fits("own_verification", client.get(own, Accept=media), media)


def _account() -> dict[str, Any]:
    return {name: VALUES[name] for name in ("username", "email", "password")}


def _listing() -> dict[str, Any]:
    return {name: VALUES[name] for name in ("title", "category", "price", "currency")}


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize(
    "address",
    [
        "/api/listings?fields=title&embed=owner",
        "/api/listings?facets=category,amenities,city,price,verified",
        "/api/listings?near=52.5,13.4&sortBy=distance&embed=owner",
        "/api/listings?search=bicycle",
    ],
)
def test_lists_have_the_promised_shape(address: str, media: str, place: Place) -> None:
    assert_fits("listings", place.client.get(address, Accept=media), media, sparse="fields=" in address)


@pytest.mark.parametrize("media", MEDIA)
def test_a_part_has_the_promised_shape(media: str, place: Place) -> None:
    listing = f"/api/listings/{place.listing.listing_id}"
    for result, path in (("listing", f"{listing}?fields=title"), ("me", "/api/users/me?fields=bio")):
        response = place.client.get(path, Accept=media)
        assert_fits(result, response, media, sparse=True)
        assert complaints(shapes.component_name(result, media), response.json)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_strangers_are_refused_where_the_document_says_so(operation: Operation, people: People, place: Place) -> None:
    nobody = people.anonymous()
    answer = nobody.request(operation.method, place.address(operation), body_of(operation))
    if is_public(operation):
        assert answer.status_int != 401 or answer.json["code"] != "unauthenticated"
    else:
        assert answer.status_int == (404 if operation.path == "/api/auth/sessions/{session_id}" else 401)
        assert complaints("Problem", answer.json) == []


@pytest.mark.parametrize("media", MEDIA)
def test_messages_and_blocks_have_the_promised_shape(media: str, people: People, place: Place) -> None:
    client, accepts = people.customer(), {"headers": {"Accept": media}}
    body = {"receiver_id": place.parameters["user_id"], "listing_id": place.listing.listing_id, "content": "Hello"}
    made = client.request("POST", "/api/messages", body, **accepts)
    assert_fits("direct_message", made, media)
    conversation = f"/api/conversations/{client.get(made.headers['Location']).json['conversation_id']}"
    assert_fits("message", place.client.request("POST", f"{made.headers['Location']}/read", {}, **accepts), media)
    for step in ("read", "archive", "unarchive"):
        assert_fits("conversation", place.client.request("POST", f"{conversation}/{step}", {}, **accepts), media)
    messages = f"{conversation}/messages?fields=content"
    for page, result in {messages: "direct_messages", f"{conversation}?fields=archived": "conversation"}.items():
        assert_fits(result, client.get(page, Accept=media), media, sparse=True)
    assert_fits("form", client.get(f"/api/messages?receiver_id={place.parameters['user_id']}", Accept=media), media)
    for _ in ("made", "there already"):
        target = {"user_id": place.parameters["user_id"]}
        assert_fits("block", client.request("POST", "/api/users/me/blocks", target, **accepts), media)
    place.client.request("DELETE", "/api/users/me", {"password": PASSWORD})
    whole = {"/api/conversations": "conversations", "/api/users/me/blocks": "blocks", conversation: "conversation"}
    for page, result in whole.items():
        assert_fits(result, client.get(page, Accept=media), media)
    assert_fits("message", client.request("DELETE", conversation, **accepts), media)


@pytest.mark.parametrize("media", MEDIA)
def test_what_moderators_do_has_the_promised_shape(media: str, people: People, place: Place) -> None:
    client, admin, accepts = people.customer(), people.admin(), {"headers": {"Accept": media}}
    subject = {"subject_type": "listing", "subject_id": place.listing.listing_id, "reason": "spam"}
    made = client.request("POST", "/api/reports", subject, **accepts)
    assert_fits("own_report", made, media)
    report = f"/api/moderation{made.headers['Location'].removeprefix('/api')}"
    for step, body in (("assign", {}), ("dismiss", {"reason": "It is fine.", "also_same_subject": True})):
        assert_fits("report", admin.request("POST", f"{report}/{step}", body, **accepts), media)
    assert_fits("own_report", client.get(made.headers["Location"], Accept=media), media)
    account = f"/api/admin/users/{client.user.user_id}"
    for step in ("suspend", "ban", "reinstate"):
        assert_fits("account", admin.request("POST", f"{account}/{step}", {"reason": "Spam."}, **accepts), media)
    assert_fits("account", admin.request("PUT", f"{account}/roles", {"roles": ["driver"]}, **accepts), media)
    for page, result in {
        "/api/moderation/reports": "reports",
        "/api/admin/users": "accounts",
        "/api/audit": "events",
    }.items():
        assert_fits(result, admin.get(page, Accept=media), media)


CHANGES = {
    key: operation
    for key, operation in OPERATIONS.items()
    if not operation.is_safe and operation.path.startswith(("/api/listings/", "/api/users/me", "/api/reviews/"))
}


@pytest.mark.parametrize("operation", CHANGES.values(), ids=CHANGES.keys())
def test_if_match_counts_where_the_document_says_so(
    operation: Operation, places: dict[tuple[str, bool], Place]
) -> None:
    moderates = operation.permission.endswith(":moderate")
    place = places[STATES.get(operation.name, "active"), moderates]
    body = body_of(operation)
    kinds = {
        "notification_preferences": "/notification-preferences",
        "photos": "/photos",
        "video": "/video",
        "listing": "/listings/",
        "review": "/reviews/",
        "me": "",
    }
    result = next(kind for kind, part in kinds.items() if part in operation.path)
    if operation.name == "edit":
        changes = {"listing": {"title": "Chairs"}, "review": {"comment": "Poor."}, "me": {"bio": "Reads."}}
        changes["notification_preferences"] = {"quiet_hours": None}
        body = (body or {}) | changes[result]
    elif operation.name == "block":
        body = {"user_id": place.blocked.user_id}
    elif operation.name == "bookmark":
        body = {"listing_id": place.listing.listing_id}
    elif body and operation.name in ("deactivate", "change-password"):
        body |= {name: PASSWORD for name in ("password", "currentPassword") if name in body}
    sent = {"If-Match": '"999999.abc"', "Content-Type": operation.content_types[0]}
    answer = place.client.request(operation.method, place.address(operation), body, headers=sent)
    if is_conditional(operation):
        assert answer.status_int == 412, answer.text
        assert complaints("Problem", answer.json) == []
        assert complaints(result, answer.json["current"]) == []
    else:
        assert answer.status_int in (200, operation.success), answer.text


def test_no_shape_is_described_that_nobody_gives() -> None:
    embedded = {part.shape for shape in shapes.SHAPES.values() for part in shape.embedded.values()}
    given = {operation.result for operation in affordances.ALL} | embedded
    assert given == {*shapes.SHAPES, *shapes.DOCUMENTS}


def test_a_caller_s_own_client_can_read_the_document(client: Client) -> None:
    response = client.get("/api/openapi.json")
    assert response.json["info"] == openapi()["info"]
    assert response.headers["Cache-Control"].startswith("public")
