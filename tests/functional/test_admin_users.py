"""Accounts as those see and judge them who look after the marketplace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.hal import affordances
from marketplace_api.models.identity.accounts import User
from marketplace_api.resources.identity.account_admin import AccountContext
from tests.factories.accounts import People, make_user
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS, Client
from tests.support.sql_recorder import recorded

ACCOUNTS = "/api/admin/users"
WHY = {"reason": "It sells what it does not have."}


def names(response: Any) -> list[str]:
    assert response.status_int == 200, response.text
    return [user["username"] for user in response.json["users"]]


def codes(response: Any) -> set[tuple[str, str]]:
    return {(error["name"], error["code"]) for error in response.json["errors"]}


def test_from_the_entry_point_to_a_suspension_and_back(db: Session, people: People) -> None:
    moderator, client = people.moderator(), people.customer()
    links = moderator.get("/api").json["_links"]
    assert {"mkt:moderation", "mkt:users"} <= links.keys() and "mkt:audit" not in links
    assert {"mkt:moderation", "mkt:users", "mkt:audit"} <= people.admin().get("/api").json["_links"].keys()
    for other in (client, people.suspended(), people.anonymous(), people.caller(roles=["admin"], state="suspended")):
        assert {"mkt:moderation", "mkt:users", "mkt:audit"}.isdisjoint(other.get("/api").json["_links"])
    found = moderator.forms(f"{links['mkt:users']['href']}?search={client.user.username}")
    (account,) = found["_embedded"]["users"]
    assert {*account["_templates"]} == {"suspend", "ban"}
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    suspended = moderator.post(account["_templates"]["suspend"]["target"], {**WHY, "until": until})
    assert (suspended.json["state"], suspended.json["state_reason"]) == ("suspended", WHY["reason"])
    assert datetime.fromisoformat(suspended.json["suspended_until"]) == datetime.fromisoformat(until)
    assert client.post("/api/listings", {}).status_int == 403
    path = account["_links"]["self"]["href"]
    assert {*moderator.forms(path)["_templates"]} == {"suspend", "ban", "reinstate"}
    assert moderator.post(f"{path}/reinstate", WHY).json["state"] == "active"
    again = moderator.post(f"{path}/reinstate", WHY)
    assert (again.status_int, again.json["code"], again.json["state"]) == (409, "wrong_state", "active")
    past = moderator.post(f"{path}/suspend", {**WHY, "until": "2020-01-01T00:00:00Z"})
    assert codes(past) == {("until", "in_the_past")}
    assert codes(moderator.post(f"{path}/ban", {})) == {("reason", "required")}
    banned = moderator.post(f"{path}/ban", WHY)
    assert (banned.json["state"], "mkt:profile" in banned.json["_links"]) == ("banned", False)
    assert client.get("/api/users/me").status_int == 401


def test_the_last_admin_does_not_leave(people: People) -> None:
    admin, asked = people.admin(), {"password": "not asked about"}
    assert "deactivate" not in admin.forms("/api/users/me")["_templates"]
    refused = admin.delete("/api/users/me", asked)
    assert (refused.status_int, refused.json["code"]) == (409, "last_admin")
    people.admin()
    assert "deactivate" in admin.forms("/api/users/me")["_templates"]
    assert admin.delete("/api/users/me", asked).json["code"] != "last_admin"


def test_an_address_is_whole_for_admins_only(db: Session, people: People) -> None:
    """And those who do not see it do not find it out by searching."""
    user = make_user(db, username="ada", email="ada.lovelace@engines.example")
    db.commit()
    path = f"{ACCOUNTS}/{user.user_id}"
    seen = {role: people.caller(roles=[role]) for role in ("moderator", "staff", "admin")}
    assert {role: client.get(path).json["email"] for role, client in seen.items()} == {
        "moderator": "a***@e***.example",
        "staff": "a***@e***.example",
        "admin": "ada.lovelace@engines.example",
    }
    for role, client in seen.items():
        assert names(client.get(f"{ACCOUNTS}?search=ADA")) == ["ada"]
        assert names(client.get(f"{ACCOUNTS}?search=Ada.Lovelace@engines.example")) == ["ada"]
        assert names(client.get(f"{ACCOUNTS}?search=ada.l")) == (["ada"] if role == "admin" else [])
        assert "engines" not in client.get(ACCOUNTS).text or role == "admin"


def test_filters_order_and_pages(db: Session, people: People) -> None:
    admin = people.admin()
    day = datetime(2020, 1, 1, tzinfo=UTC)
    made = {
        "Zoe": {},
        "yan": {"state": "suspended", "state_reason": "Spam."},
        "Xia": {"is_verified": True},
        "xiaoli": {"roles": ["driver"]},
        "will": {"roles": ["moderator"], "is_verified": True},
        "100%": {"state": "banned"},
    }
    for age, (name, values) in enumerate(made.items()):
        make_user(db, username=name, date_joined=day + timedelta(days=age), **values)
    db.commit()

    def found(query: str) -> list[str]:
        return [name for name in names(admin.get(f"{ACCOUNTS}?limit=100&{query}")) if name in made]

    newest = list(reversed(made))
    assert found("") == newest
    assert found("order=asc") == list(made)
    assert found("sortBy=username") == ["100%", "will", "Xia", "xiaoli", "yan", "Zoe"]
    assert found("sortBy=username&order=desc") == ["Zoe", "yan", "xiaoli", "Xia", "will", "100%"]
    assert found("state=suspended") == ["yan"]
    assert found("role=driver") == ["xiaoli"]
    assert found("role=customer") == newest
    assert found("verified=true") == ["will", "Xia"]
    assert found("verified=true&role=moderator&state=active") == ["will"]
    assert "will" not in found("verified=false")
    assert found("search=xia&sortBy=username") == ["Xia", "xiaoli"]
    assert found("search=100%25") == ["100%"]
    assert found("search=%25") == []
    assert found("search=x_a") == []
    for order in ("", "&sortBy=username", "&sortBy=username&order=desc", "&verified=false", "&search=person"):
        walked, path, whole = [], f"{ACCOUNTS}?limit=3{order}", names(admin.get(f"{ACCOUNTS}?limit=100{order}"))
        while path:
            page = admin.get(path).json
            walked += [user["username"] for user in page["users"]]
            path = page["_links"].get("next", {}).get("href", "")
        assert walked == whole
        assert page["totalItems"] == len(whole)
        if len(whole) > 3:
            assert names(admin.get(page["_links"]["prev"]["href"])) == whole[: (len(whole) - 1) // 3 * 3][-3:]
    wrong = admin.get(f"{ACCOUNTS}?state=asleep&role=king&sortBy=email&verified=perhaps")
    assert {name for name, _ in codes(wrong)} == {"state", "role", "sortBy", "verified"}


def test_roles(db: Session, people: People) -> None:
    admin, client = people.admin(), people.customer()
    path = f"{ACCOUNTS}/{client.user.user_id}"
    document = admin.forms(path)
    form = document["_templates"]["set-roles"]
    assert (form["method"], form["properties"][0]["value"]) == ("PUT", ["customer"])
    stale = admin.put(form["target"], {"roles": ["driver"]}, If_Match='"99.x"')
    assert (stale.status_int, stale.json["current"]["roles"]) == (412, ["customer"])
    # What was read may be sent back.
    sent = {name: value for name, value in document.items() if not name.startswith("_")} | {"roles": ["driver"]}
    assert admin.put(form["target"], sent).json["roles"] == ["customer", "driver"]
    assert client.get("/api/users/me").status_int == 401  # it must log in again
    assert codes(admin.put(form["target"], {"roles": ["king"]})) == {("roles.0", "not_a_choice")}
    for role in ("moderator", "staff"):
        assert people.caller(roles=[role]).put(form["target"], {"roles": ["admin"]}).status_int == 403


def test_a_page_costs_the_same_whatever_is_on_it(db: Session, people: People) -> None:
    admin = people.admin()

    def count() -> int:
        with recorded() as found:
            assert admin.get(f"{ACCOUNTS}?limit=50", Accept=HAL_FORMS).status_int == 200
        return len(found)

    few = count()
    for _ in range(10):
        make_user(db)
    db.commit()
    assert count() == few <= 2


STATES = ("active", "suspended", "banned", "deactivated", "erased")
JUDGES = ("anonymous", "customer", "driver", "moderator", "staff", "admin", "suspended")
TARGETS = ("customer", "driver", "moderator", "staff", "admin", "oneself")
RANK = {"moderator": 1, "staff": 2, "admin": 3}
BODIES: dict[str, Any] = {"suspend": WHY, "reinstate": WHY, "ban": WHY, "set-roles": {"roles": ["driver", "staff"]}}
FROM = {
    "suspend": {"active", "suspended"},
    "reinstate": {"suspended", "banned"},
    "ban": {"active", "suspended", "deactivated"},
    "set-roles": {"active", "suspended", "banned", "deactivated"},
}


def expected(judge: str, target: str, state: str) -> set[str]:
    """What the rules say, in other words than the code's."""
    if target == "oneself" or judge not in RANK:
        return set()
    if judge != "admin" and RANK.get(target, 0) >= RANK[judge]:
        return set()
    return {step for step, states in FROM.items() if state in states and (step != "set-roles" or judge == "admin")}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("judge", JUDGES)
def test_an_account_offers_what_its_reader_may_do(
    judge: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client = _judge(judge, people)
    steps = [each for each in affordances.ALL if each.context is AccountContext and not each.is_safe]
    assert {operation.name for operation in steps} == {*BODIES}
    for target in TARGETS:
        if target == "oneself" and (client.user is None or state not in ("active", "suspended")):
            continue
        user = client.user if target == "oneself" else _target(db, target, state)
        path = f"{ACCOUNTS}/{user.user_id}"
        page = client.get(path, Accept=HAL_FORMS)
        assert page.status_int == (200 if judge in RANK else 401 if judge == "anonymous" else 403)
        shown = set(page.json.get("_templates", {})) - {"default"}
        assert shown == expected(judge, target, state), (target, shown)
        for operation in steps:
            with undone(databases):
                answer = client.request(operation.method, path + operation.suffix, BODIES[operation.name])
            accepted = answer.status_int == 200 if operation.name in shown else answer.status_int in REFUSED
            assert accepted, f"{target} {operation.name}: {answer.text}"


def _judge(judge: str, people: People) -> Client:
    if judge in ("anonymous", "customer"):
        client: Client = getattr(people, judge)()
        return client
    if judge == "suspended":
        return people.caller(roles=["admin"], state="suspended")
    return people.caller(roles=[judge])


def _target(db: Session, role: str, state: str) -> User:
    values = {"deactivated_at": sa.func.now()} if state == "deactivated" else {}
    user = make_user(db, roles=[] if role == "customer" else [role], state=state, **values)
    db.commit()
    return user
