"""What docs/webhooks.md tells receivers is what they get."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from marketplace_api.domain.outbound.webhooks import delivery, payload, signing

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "webhooks.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_check_of_the_page_takes_what_is_genuine_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    secret, old, body = signing.new_secret(), signing.new_secret(), b'{"id": 1}'
    headers = {
        "Webhook-Id": "7",
        "Webhook-Timestamp": "1000",
        "Webhook-Signature": signing.signatures([secret, old], "7", 1000, body),
    }

    def genuine(**changed: Any) -> bool:
        asked = {"secret": secret, "headers": headers, "body": body, "now": 1200, **changed}
        return bool(names["is_genuine"](**asked))

    assert genuine()
    assert genuine(secret=old)
    assert not genuine(secret=signing.new_secret())
    assert not genuine(body=b'{"id": 2}')
    assert not genuine(headers={**headers, "Webhook-Id": "8"})
    assert not genuine(now=1301)


def test_the_example_has_the_form_of_what_is_sent() -> None:
    example = json.loads(block("json"))
    event = SimpleNamespace(
        event_id=example["id"],
        type=example["type"],
        date_created=datetime(2026, 5, 4, 10, tzinfo=UTC),
        actor_id=7,
        subject_type="listing",
        subject_id=42,
        previous={"status": "draft"},
        new={"status": "active", "reason": "Words about a person."},
    )
    assert json.loads(payload.body(event, "https://market.example")) == example


def test_the_times_of_the_page_are_those_between_attempts() -> None:
    told = re.search(r"tried again after (.*?) \(and up to a tenth", PAGE, re.DOTALL)
    assert told is not None
    units = {"second": "seconds", "minute": "minutes", "hour": "hours"}
    waits = re.findall(r"(\d+)\s+(second|minute|hour)", told[1])
    assert tuple(timedelta(**{units[unit]: int(number)}) for number, unit in waits) == delivery.WAITS
    assert delivery.JITTER == 0.1
