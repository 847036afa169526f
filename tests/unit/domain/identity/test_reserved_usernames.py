"""Names that would be taken for those who run the service, in whatever spelling."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from marketplace_api.config.reserved_usernames import RESERVED_USERNAMES
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import profiles, registration, reserved_usernames
from marketplace_api.domain.operations.demo import fixtures
from marketplace_api.errors import Invalid
from tests.unit.domain.identity.accounts_world import OPERATOR, RULES, World

NAMES = frozenset(RESERVED_USERNAMES)


@pytest.mark.parametrize(
    "name",
    [
        *("support", "SUPPORT", "Sup.Port", "s-u-p-p-o-r-t", "5upp0rt", "support1", "support-24", "root", "r00t"),
        *("admin", "adm1n", "admln", "Admin_2", "moderator", "moderators", "moderator.anna", "rnoderator", "m0derat0r"),
        *("system", "5y5tem", "staff", "marketplace", "marketplace-team", "customer.support", "no-reply"),
        *("ѕuрроrt", "аdmin", "αdmin", "ѕyѕtem", "rооt", "ＡＤＭＩＮ", "ádmin", "ADMİN", "moderaτor"),
    ],
)
def test_what_looks_like_one_of_them_is_reserved(name: str) -> None:
    assert reserved_usernames.is_reserved(NAMES, name)
    with pytest.raises(Invalid) as caught:
        reserved_usernames.require_free(NAMES, name)
    assert [(error.name, error.code) for error in caught.value.errors] == [("username", "reserved")]


@pytest.mark.parametrize(
    "name", ["anna", "supporter_fc", "rootbeer", "adminton", "groot", "steam", "systematic", "24", "...", "", "modem"]
)
def test_what_only_holds_one_of_them_is_free(name: str) -> None:
    assert not reserved_usernames.is_reserved(NAMES, name)


def test_of_the_demo_only_those_who_run_it_have_one() -> None:
    taken = {name for name in fixtures.people() if reserved_usernames.is_reserved(NAMES, name)}
    assert taken == {"admin", "moderator", "staff"}


def test_the_setting_names_others_or_none() -> None:
    environ = {"RESERVED_USERNAMES": "boss chief*"}
    names = frozenset(Settings.load({}, environ).reserved_usernames)
    taken = [name for name in ("boss", "b0ss", "chiefs", "support") if reserved_usernames.is_reserved(names, name)]
    assert taken == ["boss", "b0ss", "chiefs"]
    assert not reserved_usernames.is_reserved(
        frozenset(Settings.load({}, {"RESERVED_USERNAMES": "-"}).reserved_usernames), "root"
    )
    assert Settings.load({}, {}).reserved_usernames == RESERVED_USERNAMES


def test_nobody_registers_or_takes_one_and_who_has_it_keeps_it(db: Session, databases: Databases) -> None:
    world = World(databases)
    with pytest.raises(Invalid):
        world.register(db, "support")
    pair = world.register(db, "anna")
    actor = world.actor(db, pair)
    with pytest.raises(Invalid):
        profiles.edit_own(db, databases, actor, RULES, changes={"username": "Supp0rt"})
    # An operator makes the account of those who answer.
    made = registration.create_account(
        db, RULES, username="support", email="support@people.example", password=None, roles=[], actor=OPERATOR
    )
    profiles.edit(db, OPERATOR, made.user_id, changes={"username": "support", "bio": "We answer."})
    pair.user.username = "root"
    db.flush()
    kept = profiles.edit_own(db, databases, actor, RULES, changes={"username": "root", "bio": "Since 1999."})
    assert (kept.username, kept.bio) == ("root", "Since 1999.")
