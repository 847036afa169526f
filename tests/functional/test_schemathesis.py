"""The API holds what its OpenAPI document says: schemathesis makes requests of every operation, right and wrong ones.

Each request is taken back, so all start from the same world: a customer with a listing, and a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from marketplace_api.hal import affordances
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON
from marketplace_api.models.kernel.events import Event
from marketplace_api.views.openapi import openapi
from tests.factories.accounts import People, make_user, open_session
from tests.factories.browsers import Browser
from tests.factories.conversations import send
from tests.factories.files import make_photo
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.reports import make_report
from tests.factories.reviews import make_bookmark, make_review
from tests.factories.verifications import make_verification
from tests.factories.webhooks import make_delivery
from tests.support.client import Client

ROLES = ("anonymous", "customer", "admin")
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

steady = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@cache
def described() -> Any:
    config = SchemathesisConfig()
    project = config.projects.default
    project.generation.with_security_parameters = False  # the test itself says who calls
    project.checks.negative_data_rejection.expected_statuses = ["4xx"]
    return schemathesis.openapi.from_dict(deepcopy(openapi()), config=config)


@pytest.fixture(scope="module")
def world(shared_people: People) -> dict[str, Any]:
    """Callers by role, and path parameters that lead somewhere."""
    people, db = shared_people, shared_people.session
    owner = make_user(db)
    listing = make_listing(db, owner)
    session = open_session(db, owner)
    review = make_review(db, make_user(db), listing=listing)
    make_bookmark(db, owner, listing)
    message = send(db, make_user(db), owner)
    notification_id = make_notification(db, owner, make_user(db))
    photo = make_photo(db, listing, people.app.registry.storage)
    verification = make_verification(db, people.app)
    report = make_report(db, owner, "user", make_user(db).user_id)
    event = db.execute(sa.select(sa.func.max(Event.event_id))).scalar()
    callers = {"anonymous": people.anonymous(), "customer": people.client_for(owner), "admin": people.admin()}
    db.commit()
    return {
        **callers,
        "parameters": {
            "listing_id": listing.listing_id,
            "user_id": owner.user_id,
            "session_id": session.session_id,
            "notification_id": notification_id,
            "code": "gone",
            "rel": "me",
            "review_id": review.review_id,
            "message_id": message.message_id,
            "conversation_id": message.conversation_id,
            "photo_id": photo.photo_id,
            "key": photo.full_key,
            "verification_id": verification.verification_id,
            "report_id": report.report_id,
            "event_id": event,
            "subscription_id": Browser().subscribe(db, owner),
            **make_delivery(db),
        },
    }


@contextmanager
def taken_back(databases: Any) -> Iterator[None]:
    savepoint = databases.connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def requests(operation: affordances.Operation, parameters: dict[str, int | str]) -> st.SearchStrategy[Any]:
    """Right and wrong requests, to a resource that exists or to any."""
    found = described()[operation.path][operation.method]
    existing = {name: value for name, value in parameters.items() if f"{{{name}}}" in operation.path}
    right, wrong = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    asked = [found.as_strategy(generation_mode=mode) for mode in (right, wrong)]
    if existing:
        asked += [found.as_strategy(generation_mode=mode, path_parameters=existing) for mode in (right, right, wrong)]
    return st.one_of(asked)


def how_many(operation: affordances.Operation) -> int:
    """Requests to make: more where there is more to choose."""
    fields = sum(len(schema.children) for schema in (operation.body, operation.query) if schema is not None)
    return min(16, 4 + fields + 3 * operation.path.count("{"))


def has_blanks(case: Any) -> bool:
    """Whether a query parameter, or a part of it, is empty: that counts as absent, which no schema can tell."""
    values = (value if isinstance(value, list) else [value] for value in (case.query or {}).values())
    return any(isinstance(part, str) and not part.strip() for parts in values for part in parts)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", affordances.ALL, ids=lambda operation: f"{operation.method} {operation.path}")
def test_answers_are_as_described(
    operation: affordances.Operation, role: str, app: Any, databases: Any, world: dict[str, Any]
) -> None:
    client: Client = world[role]
    sent = {} if client.token is None else {"Authorization": f"Bearer {client.token}"}

    @settings(steady, max_examples=how_many(operation))
    @given(case=requests(operation, world["parameters"]), media=st.sampled_from([JSON, HAL, HAL_FORMS]))
    def ask(case: Any, media: str) -> None:
        with taken_back(databases):
            response = case.call(app=app, headers={**sent, "Accept": media, "Accept-Encoding": "identity"})
        rejects = [] if has_blanks(case) else [checks.negative_data_rejection]
        case.validate_response(response, checks=[*CHECKS, *rejects], transport_kwargs={"app": app})

    ask()
