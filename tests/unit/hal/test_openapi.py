"""The OpenAPI document: valid, complete, and free of what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from marketplace_api import app  # noqa: F401 - all operations are declared once the views are imported
from marketplace_api.hal import affordances, shapes
from marketplace_api.hal.problems import CODES
from marketplace_api.security.permissions import Permission
from marketplace_api.version import VERSION
from marketplace_api.views.openapi import openapi
from marketplace_api.views.openapi.components import TAGS, problem_name
from marketplace_api.views.openapi.paths import is_public

DOCUMENT = openapi()
OPERATIONS = {f"{operation.method} {operation.path}": operation for operation in affordances.ALL}


def described(operation: affordances.Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_its_schemas_are_valid_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_is_in_it_and_nothing_else() -> None:
    methods = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item}
    assert methods == OPERATIONS.keys()


def test_operation_ids_are_unique_and_speak() -> None:
    ids = [described(operation)["operationId"] for operation in affordances.ALL]
    assert len(ids) == len(set(ids))
    assert described(OPERATIONS["PUT /api/listings/{listing_id}"])["operationId"] == "listing_edit"
    assert described(OPERATIONS["PATCH /api/listings/{listing_id}"])["operationId"] == "listing_edit_patch"
    assert described(OPERATIONS["GET /api/listings"])["operationId"] == "listings_search"


def test_the_status_of_every_error_code_is_described() -> None:
    responses = DOCUMENT["components"]["responses"]
    for entry in CODES.values():
        assert f"`{entry.code}`" in responses[problem_name(entry.status)]["description"]


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_an_operation_tells_what_it_takes_and_gives(operation: affordances.Operation) -> None:
    found = described(operation)
    assert found["summary"]
    assert set(found["tags"]) <= TAGS.keys()
    assert found["x-permission"] in set(Permission)
    assert operation.result in {**shapes.SHAPES, **shapes.DOCUMENTS}
    assert found["security"] == ([{}, {"bearer": []}] if is_public(operation) else [{"bearer": []}])
    assert {str(operation.success), "400", "401", "406", "429", "503"} <= found["responses"].keys()
    assert {str(status) for status in operation.errors} <= found["responses"].keys()
    named = {parameter["name"] for parameter in found["parameters"] if parameter.get("in") == "query"}
    assert named == ({child.name for child in operation.query.children} if operation.query else set())
    if operation.body is not None and operation.body.children:
        assert set(found["requestBody"]["content"]) == set(operation.content_types)


def test_lists_in_the_query_are_separated_by_commas() -> None:
    parameters = described(OPERATIONS["GET /api/listings"])["parameters"]
    fields = next(parameter for parameter in parameters if parameter.get("name") == "fields")
    assert (fields["style"], fields["explode"], fields["schema"]["type"]) == ("form", False, "array")


def test_an_object_that_may_be_null_says_so() -> None:
    body = described(OPERATIONS["POST /api/listings"])["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["location"]["type"] == ["object", "null"]
    assert body["required"] == ["title", "category", "price"]


def test_the_version_is_the_package_s() -> None:
    assert DOCUMENT["info"]["version"] == VERSION
