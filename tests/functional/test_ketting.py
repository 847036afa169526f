"""The npm client ketting, untouched, drives the API from its entry on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.factories.accounts import People, make_user
from tests.factories.listings import make_listing
from tests.support.npm import NODE, home_of, needs_node
from tests.support.server import served

HERE = Path(__file__).resolve().parent.parent / "ketting"


@needs_node
def test_ketting_walks_through_the_api(live_people: People) -> None:
    seller = make_user(live_people.session, username="seller")
    for number in range(3):
        make_listing(live_people.session, seller, title=f"Road bicycle {number}")
    owner = live_people.caller(username="cargo.owner")
    with served(owner.app) as address:
        ran = subprocess.run(
            [NODE or "node", str(HERE / "walk.mjs"), address, owner.token or "", str(home_of(HERE))],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    met: dict[str, Any] = json.loads(ran.stdout)
    _assert_stranger(met)
    _assert_form(met["form"])
    _assert_owner(met)
    assert met["warnings"] == []


def _assert_stranger(met: dict[str, Any]) -> None:
    assert met["entry"]["data"]["caller"] == {"user_id": None, "username": None, "roles": [], "state": "anonymous"}
    assert {"register", "login"} <= set(met["entry"]["actions"])
    assert met["search"]["uri"] == "/api/listings?limit=2&search=bicycle"
    assert met["search"]["total"] == 3
    assert len(met["search"]["titles"]) == 2
    assert met["search"]["actions"] == []
    assert sorted(met["search"]["titles"] + met["next"]["titles"]) == [f"Road bicycle {n}" for n in range(3)]
    assert met["next"]["hasNext"] is False
    assert met["categories"] > 5
    assert met["unknownRelation"] == "LinkNotFound"
    assert met["problem"] == {"kind": "Problem", "status": 404, "code": "not_found"}
    assert met["registered"] == met["me"]["username"] == "ketting.user"
    assert {"edit", "deactivate"} <= set(met["me"]["actions"])


def _assert_form(form: dict[str, Any]) -> None:
    assert form["actions"] == ["create", "default"]
    assert (form["method"], form["uri"], form["contentType"]) == ("POST", "/api/listings", "application/json")
    fields = form["fields"]
    assert {name for name, field in fields.items() if field["required"]} == {"title", "category", "price"}
    assert (fields["title"]["type"], fields["title"]["maxLength"]) == ("text", 255)
    assert (fields["price"]["type"], fields["price"]["min"], fields["price"]["step"]) == ("number", 0, 0.01)
    assert fields["description"]["type"] == "textarea"
    assert (fields["status"]["type"], set(fields["status"]["options"])) == ("select", {"active", "draft", "inactive"})


def _assert_owner(met: dict[str, Any]) -> None:
    assert met["incomplete"] == "The category field is required in this form"
    created = met["created"]["data"]
    assert met["created"]["uri"] == f"/api/listings/{created['listing_id']}"
    assert (created["title"], created["price"], created["status"]) == ("Cargo bicycle", 1900.5, "active")
    assert created["location"]["latitude"] == 52.538123
    assert {"edit", "delete", "mark-sold", "deactivate"} <= set(met["created"]["actions"])
    fields = met["edit"]["fields"]
    assert met["edit"]["method"] == "PUT"
    assert (fields["title"]["value"], fields["price"]["value"], fields["status"]["value"]) == (
        "Cargo bicycle",
        1900.5,
        "active",
    )
    # All that the form held and nobody touched came back as it was.
    changed = {"title": "Cargo bicycle, two seats", "date_updated": met["edited"]["date_updated"]}
    assert met["edited"] == {**created, **changed}
    assert met["put"]["description"] == "Carries two children."
    assert met["put"]["title"] == "Cargo bicycle, two seats"
    assert met["sold"]["status"] == "sold"
    assert "mark-sold" not in met["sold"]["actions"] and "publish" in met["sold"]["actions"]
    assert met["owner"] == "cargo.owner"
    assert met["deleted"] == {"message": "Listing deleted"}
    assert met["afterwards"] == 410
    assert met["mine"] == 0
    assert met["loggedOut"] == {"message": "Logged out successfully"}
    assert met["loggedOutStatus"] == 401
