"""The way through the tree, and where it ends."""

from __future__ import annotations

import pytest

from marketplace_api.resources.traverser import steps_of
from marketplace_api.views.service import SERVICES
from tests.support.client import Client


def test_steps_are_names_and_parameters() -> None:
    assert steps_of("/") == ()
    assert steps_of("/api/listings/{listing_id}") == (("api", False), ("listings", False), ("listing_id", True))


def test_every_service_knows_the_parameters_of_its_way() -> None:
    for service in SERVICES:
        for name, is_parameter in steps_of(service.context_pattern):
            assert not is_parameter or f"{{{name}}}" in service.pattern, service.name


@pytest.mark.parametrize("path", ["/api/listings/1", "/api/errors/@@x", "/api/rels/%40%40x", "/files/a-b.c", "/@@api"])
def test_where_nothing_is_the_way_ends(client: Client, path: str) -> None:
    assert client.get(path).status_int == 404


def test_no_header_leads_elsewhere(client: Client) -> None:
    assert client.get("/api/listings", X_Vhm_Root="/api/users").json == client.get("/api/listings").json
