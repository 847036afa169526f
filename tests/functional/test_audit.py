"""The event log over HTTP: who may read it, what narrows it, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.eventlog import audit
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import People, make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.factories.reports import make_report
from tests.factories.reviews import make_review
from tests.support.client import Client
from tests.support.postgres import as_owner
from tests.support.sql_recorder import recorded

AUDIT = "/api/audit"
DAY = datetime(2025, 6, 1, tzinfo=UTC)


def ids(response: Any) -> list[int]:
    assert response.status_int == 200, response.text
    return [event["event_id"] for event in response.json["events"]]


def add(db: Session, **values: Any) -> int:
    fields = {"type": "user.edited", "subject_type": "user", "subject_id": 1, "new": {}, **values}
    added = sa.insert(Event).values(fields).returning(Event.event_id)
    event_id: int = db.execute(added).scalar_one()
    db.commit()
    return event_id


def test_what_an_admin_did_can_be_read(db: Session, people: People) -> None:
    admin, client = people.admin(), people.customer()
    account = f"/api/admin/users/{client.user.user_id}"
    admin.post(f"{account}/suspend", {"reason": "Spam."}, X_Request_ID="trace-7f3a9c21")
    link = admin.get(account).json["_links"]["mkt:audit"]["href"]
    (event,) = admin.get(link).json["events"]
    assert (event["type"], event["actor_id"], event["reason"], event["request_id"]) == (
        "user.suspended",
        admin.user.user_id,
        "Spam.",
        "trace-7f3a9c21",
    )
    assert (event["previous"], event["new"]) == ({"state": "active"}, {"state": "suspended", "until": None})
    assert (event["actor_name"], event["on_behalf_of_id"]) == (None, None)
    assert event["_links"]["mkt:subject"]["href"] == account
    one = admin.get(event["_links"]["self"]["href"]).json
    assert one == event
    assert admin.get(f"{AUDIT}/{2**62}").status_int == 404


def test_admins_only(db: Session, people: People) -> None:
    event_id = add(db)
    callers = {
        people.anonymous(): 401,
        people.customer(): 403,
        people.moderator(): 403,
        people.caller(roles=["staff"]): 403,
        people.caller(roles=["admin"], state="suspended"): 403,
        people.admin(): 200,
    }
    for client, status in callers.items():
        for path in (AUDIT, f"{AUDIT}/{event_id}"):
            assert client.get(path).status_int == status


def test_every_link_of_an_event_leads_somewhere(db: Session, people: People) -> None:
    admin, client, other = people.admin(), people.customer(), people.customer()
    kept, gone = make_listing(db, client.user), make_listing(db, client.user)
    for row in (kept, gone):
        assert client.post(f"/api/listings/{row.listing_id}/mark-sold").status_int == 200
    client.delete(f"/api/listings/{gone.listing_id}")
    send(db, client.user, other.user)
    make_review(db, client.user, person=other.user)
    make_report(db, client.user, "user", admin.user.user_id)
    make_report(db, client.user, "user", other.user.user_id)
    admin.post(f"/api/admin/users/{other.user.user_id}/ban", {"reason": "Fraud."})
    events = admin.get(f"{AUDIT}?limit=100").json["events"]
    assert len(events) >= 8
    linked = set()
    for event in events:
        for relation, link in event["_links"].items():
            assert admin.get(link["href"]).status_int == 200, (event["type"], relation)
        if "mkt:subject" in event["_links"]:
            linked.add(event["subject_type"])
    assert linked == {"user", "listing", "review", "report"}


def test_filters(db: Session, people: People) -> None:
    admin = people.admin()
    made = [
        add(db, actor_id=5, date_created=DAY),
        add(db, actor_id=6, date_created=DAY + timedelta(hours=2), type="user.banned"),
        add(db, actor_id=5, date_created=DAY + timedelta(hours=4), type="listing.edited", subject_type="listing"),
        # A long transaction: it began before what is logged before it.
        add(db, actor_id=6, date_created=DAY + timedelta(hours=3, minutes=30)),
        add(db, actor_id=5, date_created=DAY + timedelta(hours=6), subject_id=2),
    ]

    def found(query: str) -> list[int]:
        return [made.index(event_id) for event_id in ids(admin.get(f"{AUDIT}?{query}")) if event_id in made]

    assert found("") == [4, 3, 2, 1, 0]
    assert found("actor_id=5") == [4, 2, 0]
    assert found("type=user.banned") == [1]
    assert found("actor_id=6&type=user.edited") == [3]
    assert found("subject_type=user&subject_id=1") == [3, 1, 0]
    assert found("subject_type=user&subject_id=1&actor_id=6&type=user.banned") == [1]
    assert found("since=2025-06-01T02:00:00Z&until=2025-06-01T06:00:00Z") == [3, 2, 1]
    assert found("since=2025-06-01T03:45:00Z&until=2025-06-01T06:00:00%2B00:00") == [2]
    assert found("until=2025-06-01T04:00:00Z") == [3, 1, 0]
    assert found("since=2025-06-01T04:00:00Z&actor_id=6") == []
    assert found("since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z") == [4, 3, 2, 1, 0]
    wrong = admin.get(f"{AUDIT}?type=user.flown&since=yesterday&subject_type=moon&subject_id=x&actor_id=-1")
    assert {error["name"] for error in wrong.json["errors"]} == {
        "type",
        "since",
        "subject_type",
        "subject_id",
        "actor_id",
    }
    for half in ("subject_type=user", "subject_id=1"):
        (error,) = admin.get(f"{AUDIT}?{half}").json["errors"]
        assert error["code"] == "required"


def test_a_walk_meets_every_event_once(db: Session, people: People) -> None:
    admin = people.admin()
    made = [add(db, actor_id=77) for _ in range(7)]
    walked, path = [], f"{AUDIT}?actor_id=77&limit=3"
    while path:
        page = admin.get(path).json
        walked += [event["event_id"] for event in page["events"]]
        add(db, actor_id=77)  # what comes meanwhile moves nobody
        path = page["_links"].get("next", {}).get("href", "")
    assert walked == made[::-1]
    before = admin.get(page["_links"]["prev"]["href"])
    assert ids(before) == made[1:4][::-1]
    assert (
        admin.get(f"{AUDIT}?actor_id=78&cursor={page['_links']['prev']['href'].split('cursor=')[1]}").status_int == 400
    )


@pytest.mark.parametrize("limit", [1, 50])
def test_a_page_costs_the_same_whatever_is_on_it(limit: int, db: Session, people: People) -> None:
    admin, owner = people.admin(), make_user(db)
    for _ in range(10):
        add(db, type="listing.edited", subject_type="listing", subject_id=make_listing(db, owner).listing_id)
    with recorded() as found:
        admin.get(f"{AUDIT}?type=listing.edited&limit={limit}")
    assert len(found) <= 3


FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "pk_events"),
    "subject": ({"subject_type": "user", "subject_id": 7}, "ix_events_subject"),
    "actor": ({"actor_id": 7}, "ix_events_actor_id"),
    "type": ({"type": "user.banned"}, "ix_events_type"),
    "actor and type": ({"actor_id": 7, "type": "user.banned"}, "ix_events_actor_id"),
    "type and time": ({"type": "user.banned", "since": DAY, "until": DAY + timedelta(days=1)}, "ix_events_type"),
    "time": ({"since": DAY, "until": DAY + timedelta(days=1)}, "pk_events"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_an_index_leads_to_every_page(name: str, db: Session, client: Client) -> None:
    """Nothing is sorted and no table is read through, so the length of the log does not matter."""
    given, index = FILTERS[name]
    db.execute(
        sa.text(
            "INSERT INTO events (type, actor_id, subject_type, subject_id, new, date_created) "
            "SELECT CASE n % 50 WHEN 7 THEN 'user.banned' ELSE 'user.edited' END, n % 20, 'user', n % 30, '{}', "
            "CAST(:day AS timestamptz) - interval '10 days' + n * interval '10 minutes' FROM generate_series(1, 3000) n"
        ),
        {"day": DAY},
    )
    with as_owner(db):
        db.execute(sa.text("ANALYZE events"))
    db.execute(sa.text("SET LOCAL enable_seqscan = off"))
    db.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
    db.execute(sa.text("SET LOCAL enable_sort = off"))
    page = audit.list_page(db, audit.Criteria(**given), PageRequest(limit=5))
    assert page.items
    with recorded() as found:
        audit.list_page(db, audit.Criteria(**given), PageRequest(limit=5))
    low, high = audit.span(db, audit.Criteria(**given))
    values = {**given, "low": low, "high": high, "count": 6, "offset": 0, "cap": 10_001}
    plan = "\n".join(db.connection().exec_driver_sql(f"EXPLAIN {found[-1]}", values).scalars())
    of_months = "SELECT CAST(CAST(inhrelid AS regclass) AS text) FROM pg_inherits JOIN pg_class ON oid = inhparent WHERE relname ~ :index"
    assert any(name in plan for name in db.execute(sa.text(of_months), {"index": f"^{index}"}).scalars())
    assert "Seq Scan" not in plan
