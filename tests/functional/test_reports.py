"""Reports over HTTP: making them, and what moderators do with them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.reports import Report
from tests.factories.accounts import People, make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import make_review
from tests.support.client import HAL_FORMS, Client
from tests.support.sql_recorder import recorded

REPORTS = "/api/reports"
QUEUE = "/api/moderation/reports"
WHY = {"reason": "The listing was taken down."}


def reported(client: Client, kind: str, subject_id: int, **values: Any) -> Any:
    return client.post(REPORTS, {"subject_type": kind, "subject_id": subject_id, "reason": "fraud", **values})


def ids(response: Any) -> list[int]:
    assert response.status_int == 200, response.text
    return [report["report_id"] for report in response.json["reports"]]


def errors(response: Any) -> set[tuple[str, str]]:
    return {(error["name"], error["code"]) for error in response.json["errors"]}


def test_from_the_listing_to_the_decision(db: Session, people: People) -> None:
    owner, client, moderator = people.customer(), people.customer(), people.moderator()
    listing = make_listing(db, owner.user)
    path = f"/api/listings/{listing.listing_id}"
    form = client.forms(path)["_templates"]["report"]
    settled = {field["name"]: field["value"] for field in form["properties"] if "value" in field}
    assert settled == {"subject_type": "listing", "subject_id": listing.listing_id}
    made = client.post(form["target"], {**settled, "reason": "counterfeit", "comment": "No such brand."})
    assert (made.status_int, made.json["status"]) == (201, "open")
    assert "report" not in client.forms(path)["_templates"]
    again = reported(client, "listing", listing.listing_id)
    assert (again.status_int, again.json["code"]) == (409, "already_reported")
    assert again.json["report_id"] == made.json["report_id"]

    queues = {each["name"]: each for each in moderator.get("/api/moderation").json["queues"]}
    assert queues["reports"]["count"] == 1
    (found,) = moderator.get(queues["reports"]["_links"]["self"]["href"]).json["reports"]
    assert (found["reason"], found["comment"], found["reporter_id"]) == (
        "counterfeit",
        "No such brand.",
        client.user.user_id,
    )
    assert found["subject"] == {"title": "Road bicycle", "status": "active", "content": None, "report_count": 1}
    one = found["_links"]["self"]["href"]
    assert moderator.post(f"{one}/assign").json["assignee_id"] == moderator.user.user_id
    assert client.get(made.headers["Location"]).json["status"] == "assigned"
    decided = moderator.post(f"{one}/resolve", WHY)
    assert (decided.json["status"], decided.json["also_decided"]) == ("resolved", 0)
    told = client.get(made.headers["Location"]).json
    assert (told["status"], told["decision_reason"]) == ("resolved", WHY["reason"])
    assert not any("assignee" in name for name in told)
    again = moderator.post(f"{one}/dismiss", WHY)
    assert (again.status_int, again.json["code"], again.json["state"]) == (409, "wrong_state", "resolved")
    assert moderator.get("/api/moderation").json["queues"][0]["count"] == 0

    log = db.execute(sa.select(Event).where(Event.subject_type == "report").order_by(Event.event_id)).scalars().all()
    assert [event.type for event in log] == ["report.made", "report.assigned", "report.resolved"]
    named = {"reporter_id": client.user.user_id, "subject_type": "listing", "subject_id": listing.listing_id}
    for event in log:
        assert named.items() <= event.new.items()
        assert event.subject_id == made.json["report_id"]
        assert "No such brand" not in str(event.new)


def test_every_kind_of_subject(db: Session, people: People) -> None:
    other, client, moderator = people.customer(), people.customer(), people.moderator()
    message = send(db, other.user, client.user, "Pay me outside.")
    review = make_review(db, other.user, person=client.user, comment="Bad words.")
    subjects = {"user": other.user.user_id, "message": message.message_id, "review": review.review_id}
    paths = {
        "user": f"/api/users/{other.user.user_id}",
        "message": f"/api/messages/{message.message_id}",
        "review": f"/api/reviews/{review.review_id}",
    }
    for kind, subject_id in subjects.items():
        assert "report" in client.forms(paths[kind])["_templates"]
        made = reported(client, kind, subject_id)
        assert made.status_int == 201, made.text
        assert "report" not in client.forms(paths[kind])["_templates"]
        assert client.get(made.headers["Location"]).json["subject_id"] == subject_id
    found = {report["subject_type"]: report for report in moderator.get(QUEUE).json["reports"]}
    assert found["user"]["subject"]["title"] == other.user.username
    assert found["review"]["subject"]["title"] == "Bad words."
    assert {report["reported_id"] for report in found.values()} == {other.user.user_id}
    for report in found.values():
        for relation, link in report["_links"].items():
            assert moderator.get(link["href"]).status_int == 200, relation


def test_a_message_is_read_by_whom_the_report_is_assigned_to(db: Session, people: People) -> None:
    """That somebody read it is on record, because to be assigned is."""
    sender, client = people.customer(), people.customer()
    first, second = people.moderator(), people.moderator()
    message = send(db, sender.user, client.user, "Pay me outside.")
    unreported = send(db, sender.user, client.user, "Please.")
    path = f"{QUEUE}/{reported(client, 'message', message.message_id).json['report_id']}"
    for moderator in (first, second, people.admin()):
        assert "Pay me" not in moderator.get(path).text + moderator.get(QUEUE).text
    assert first.post(f"{path}/assign").json["subject"]["content"] == "Pay me outside."
    assert first.get(QUEUE).json["reports"][0]["subject"]["content"] == "Pay me outside."
    assert second.get(path).json["subject"]["content"] is None
    second.post(f"{path}/assign")
    assert (first.get(path).json["subject"]["content"], second.get(path).json["subject"]["content"]) == (
        None,
        "Pay me outside.",
    )
    log = db.execute(sa.select(Event).where(Event.type == "report.assigned").order_by(Event.event_id)).scalars().all()
    assert [event.new["assignee_id"] for event in log] == [first.user.user_id, second.user.user_id]
    for moderator in (first, second):
        assert moderator.get(f"/api/messages/{message.message_id}").status_int == 404
        assert moderator.get(f"/api/messages/{unreported.message_id}").status_int == 404


def test_only_what_the_caller_can_see(db: Session, people: People) -> None:
    client, owner, other = people.customer(), make_user(db), make_user(db)
    draft = make_listing(db, owner, status="draft")
    gone = make_listing(db, owner, deleted_at=sa.func.now())
    message = send(db, owner, other)
    review = make_review(db, other, listing=make_listing(db, owner))
    db.execute(sa.update(Listing).where(Listing.listing_id == review.listing_id).values(status="inactive"))
    banned = make_user(db, state="banned")
    db.commit()
    for kind, subject_id, status in (
        ("listing", draft.listing_id, 404),
        ("listing", gone.listing_id, 410),
        ("message", message.message_id, 404),
        ("review", review.review_id, 404),
        ("user", banned.user_id, 404),
        ("user", 10**15, 404),
        ("review", 10**15, 404),
        ("message", 10**15, 404),
        ("listing", 10**15, 404),
    ):
        assert reported(client, kind, subject_id).status_int == status, kind
    assert reported(people.moderator(), "message", message.message_id).status_int == 404
    assert db.execute(sa.select(sa.func.count()).select_from(Report)).scalar() == 0


def test_never_oneself_or_one_s_own(db: Session, people: People) -> None:
    client, other = people.customer(), make_user(db)
    listing = make_listing(db, client.user)
    message, review = send(db, client.user, other), make_review(db, client.user, person=other)
    for kind, subject_id in (
        ("user", client.user.user_id),
        ("listing", listing.listing_id),
        ("message", message.message_id),
        ("review", review.review_id),
    ):
        answer = reported(client, kind, subject_id)
        assert (answer.status_int, answer.json["code"]) == (403, "own_report"), kind


def test_input(db: Session, people: People) -> None:
    client = people.customer()
    wrong = {"subject_type": "car", "subject_id": 0, "reason": "dislike", "comment": "x" * 1001}
    assert errors(client.post(REPORTS, wrong)) == {
        ("subject_type", "not_a_choice"),
        ("subject_id", "out_of_range"),
        ("reason", "not_a_choice"),
        ("comment", "too_long"),
    }
    other = make_user(db)
    assert errors(reported(client, "user", other.user_id, reason="other")) == {("comment", "too_short")}
    assert reported(client, "user", other.user_id, reason="other", comment="Odd.").status_int == 201
    assert reported(people.anonymous(), "user", other.user_id).status_int == 401
    assert reported(people.suspended(), "user", other.user_id).status_int == 403
    assert people.anonymous().get(f"{REPORTS}/1").status_int == 401


def test_a_report_is_its_maker_s_and_the_moderators(db: Session, people: People) -> None:
    client, about = people.customer(), people.caller(roles=["moderator"])
    path = f"{REPORTS}/{reported(client, 'user', about.user.user_id).json['report_id']}"
    number = path.rsplit("/", 1)[-1]
    for other in (people.customer(), about, people.moderator()):
        assert other.get(path).status_int == 404
    assert people.customer().get(f"{QUEUE}/{number}").status_int == 403
    assert people.moderator().get(f"{QUEUE}/{number}").status_int == 200
    # Whom it is about does not learn of it, moderator or not.
    assert about.get(f"{QUEUE}/{number}").status_int == 404
    assert about.post(f"{QUEUE}/{number}/dismiss", WHY).status_int == 404
    assert (ids(about.get(QUEUE)), about.get(QUEUE).json["totalItems"]) == ([], 0)
    assert about.get("/api/moderation").json["queues"][0]["count"] == 0


def test_assigning_to_others(db: Session, people: People) -> None:
    moderator, other = people.moderator(), make_user(db, roles=["staff"])
    reporter, about = make_user(db, roles=["moderator"]), make_user(db, roles=["moderator"])
    report = make_report(db, reporter, "user", about.user_id)
    path = f"{QUEUE}/{report.report_id}/assign"
    given = moderator.post(path, {"assignee_id": other.user_id})
    assert (given.json["status"], given.json["assignee_username"]) == ("assigned", other.username)
    for user, code in (
        (make_user(db), "not_a_moderator"),
        (make_user(db, roles=["admin"], state="suspended"), "not_a_moderator"),
        (reporter, "concerned"),
        (about, "concerned"),
    ):
        db.commit()
        assert errors(moderator.post(path, {"assignee_id": user.user_id})) == {("assignee_id", code)}
    before = db.execute(sa.select(sa.func.count()).select_from(Event)).scalar()
    moderator.post(path, {"assignee_id": other.user_id})
    assert db.execute(sa.select(sa.func.count()).select_from(Event)).scalar() == before


def test_all_of_the_same_at_once(db: Session, people: People) -> None:
    moderator, owner = people.moderator(), make_user(db)
    listing, another = make_listing(db, owner), make_listing(db, owner)
    first = make_report(db, make_user(db), "listing", listing.listing_id)
    for _ in range(3):
        make_report(db, make_user(db), "listing", listing.listing_id, reason="spam")
    own = make_report(db, moderator.user, "listing", listing.listing_id)
    elsewhere = make_report(db, make_user(db), "listing", another.listing_id)
    assert moderator.get(f"{QUEUE}/{first.report_id}").json["subject"]["report_count"] == 5
    done = moderator.post(f"{QUEUE}/{first.report_id}/resolve", {**WHY, "also_same_subject": True})
    assert done.json["also_decided"] == 3
    left = ids(moderator.get(f"{QUEUE}?status=open,assigned"))
    assert left == [own.report_id, elsewhere.report_id]
    resolved = db.execute(sa.select(Event).where(Event.type == "report.resolved")).scalars().all()
    assert len({event.new["reporter_id"] for event in resolved}) == 4
    assert {event.reason for event in resolved} == {WHY["reason"]}


def test_filters_and_order(db: Session, people: People) -> None:
    moderator, owner = people.moderator(), make_user(db)
    listing = make_listing(db, owner)
    made = [make_report(db, make_user(db), "listing", listing.listing_id).report_id for _ in range(5)]
    about_person = make_report(db, make_user(db), "user", owner.user_id).report_id
    moderator.post(f"{QUEUE}/{made[0]}/dismiss", WHY)
    moderator.post(f"{QUEUE}/{made[1]}/assign")
    waiting = [made[2], made[3], made[4], about_person]
    assert ids(moderator.get(QUEUE)) == [*waiting, made[1], made[0]]
    assert ids(moderator.get(f"{QUEUE}?status=open")) == waiting
    assert ids(moderator.get(f"{QUEUE}?status=dismissed,open")) == [*waiting, made[0]]
    assert ids(moderator.get(f"{QUEUE}?subject_type=user")) == [about_person]
    assert ids(moderator.get(f"{QUEUE}?subject_type=listing&subject_id={listing.listing_id}&limit=1")) == [made[2]]
    assert ids(moderator.get(f"{QUEUE}?assigned=me")) == [made[1], made[0]]
    assert ids(moderator.get(f"{QUEUE}?assigned={moderator.user.user_id}&status=assigned")) == [made[1]]
    assert ids(moderator.get(f"{QUEUE}?assigned=nobody")) == waiting
    assert errors(moderator.get(f"{QUEUE}?assigned=you&subject_type=car")) == {
        ("assigned", "not_a_choice"),
        ("subject_type", "not_a_choice"),
    }
    assert errors(moderator.get(f"{QUEUE}?subject_id=3")) == {("subject_type", "required")}
    walked, path = [], f"{QUEUE}?limit=2"
    while path:
        page = moderator.get(path).json
        walked += [report["report_id"] for report in page["reports"]]
        path = page["_links"].get("next", {}).get("href", "")
    assert walked == [*waiting, made[1], made[0]]
    back = moderator.get(page["_links"]["prev"]["href"])
    assert ids(back) == [made[4], about_person]
    assert page["totalItems"] == 6


def test_preconditions_and_rehearsals(db: Session, people: People) -> None:
    moderator = people.moderator()
    path = f"{QUEUE}/{make_report(db, make_user(db), 'user', make_user(db).user_id).report_id}"
    stale = moderator.post(f"{path}/resolve", WHY, If_Match='"9.x"')
    assert (stale.status_int, stale.json["current"]["status"]) == (412, "open")
    tried = moderator.post(f"{path}/dismiss", WHY, Prefer="dry-run")
    assert (tried.status_int, tried.json["status"]) == (200, "dismissed")
    assert moderator.get(path).json["status"] == "open"
    assert moderator.post(f"{path}/dismiss", {}).status_int == 400
    fresh = moderator.get(path).headers["ETag"]
    assert moderator.post(f"{path}/resolve", {}, If_Match=fresh).json["decision_reason"] is None


@pytest.mark.parametrize("page", ["queue", "listings", "waiting", "messages", "reviews"])
def test_a_page_costs_the_same_whatever_is_on_it(page: str, db: Session, people: People) -> None:
    moderator, owner, client = people.moderator(), make_user(db), people.customer()
    rated = make_listing(db, owner)
    conversation = send(db, owner, client.user).conversation_id
    path, caller = {
        "queue": (f"{QUEUE}?limit=50", moderator),
        "listings": ("/api/listings?limit=50", client),
        "waiting": ("/api/moderation/listings?limit=50", moderator),
        "messages": (f"/api/conversations/{conversation}/messages", client),
        "reviews": (f"/api/listings/{rated.listing_id}/reviews?limit=50", client),
    }[page]

    def more() -> None:
        listing = make_listing(db, make_user(db))
        make_listing(db, owner, status="pending_verification")
        make_report(db, make_user(db), "listing", listing.listing_id)
        make_report(db, client.user, "message", send(db, owner, client.user).message_id)
        make_report(db, make_user(db), "review", make_review(db, make_user(db), listing=rated).review_id)

    def count() -> int:
        with recorded() as found:
            response = caller.get(path, Accept=HAL_FORMS)
            assert response.status_int == 200
        items = [len(part) for part in response.json["_embedded"].values()]
        assert items[0] > 0
        return len(found)

    more()
    few = count()
    for _ in range(5):
        more()
    assert count() == few


def test_listings_wait_the_longest_first_with_their_forms(db: Session, people: People) -> None:
    moderator, owner = people.moderator(), people.customer()
    listings = [make_listing(db, owner.user, status="draft") for _ in range(3)]
    for listing in reversed(listings):
        owner.post(f"/api/listings/{listing.listing_id}/submit-for-verification")
    # One transaction of the test has one time: let them differ.
    for age, listing in enumerate(listings):
        changed = sa.func.now() - sa.text(f"interval '{age} hours'")
        statement = sa.update(Listing).where(Listing.listing_id == listing.listing_id)
        db.execute(statement.values(review_requested_at=changed))
    make_listing(db, owner.user, status="pending_verification", deleted_at=sa.func.now())
    edited = make_listing(db, owner.user, is_verified_listing=True, review_requested_at=sa.func.now())
    make_listing(db, owner.user)
    db.commit()
    path = "/api/moderation/listings"
    assert people.customer().get(path).status_int == 403
    assert moderator.get("/api/moderation").json["queues"][1]["count"] == 4
    first = moderator.forms(f"{path}?limit=1")
    (item,) = first["_embedded"]["listings"]
    assert item["listing_id"] == listings[2].listing_id
    assert {"verify", "reject"} <= item["_templates"].keys()
    assert moderator.post(item["_templates"]["verify"]["target"]).json["is_verified_listing"] is True
    rest = moderator.get(f"{path}?limit=3").json
    assert [each["listing_id"] for each in rest["listings"]][:2] == [listings[1].listing_id, listings[0].listing_id]
    assert rest["listings"][2]["listing_id"] == edited.listing_id
    second = moderator.get(moderator.get(f"{path}?limit=2").json["_links"]["next"]["href"]).json
    assert [each["listing_id"] for each in second["listings"]] == [edited.listing_id]
