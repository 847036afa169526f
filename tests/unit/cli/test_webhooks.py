"""`webhooks`: made, looked at, switched, and what failed sent again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from marketplace_api.cli import CONFLICT, DONE, FAILED, NOT_FOUND, USAGE
from marketplace_api.database.engines import Databases
from tests.factories.webhooks import OPEN, Received, make_webhook, receiving
from tests.unit.jobs.test_webhooks import run as deliver

Run = Callable[..., Result]


def told(run: Run, *words: str) -> Any:
    result = run("--json", *words)
    assert result.exit_code == DONE, result.output
    return json.loads(result.stdout)


def test_from_making_one_to_its_end(run: Run, committed_databases: Databases) -> None:
    assert run("webhooks", "create", "https://r.example/", "--type", "nonsense").exit_code == USAGE
    made = told(run, "webhooks", "create", "https://r.example/", "--type", "listing.*", "--description", "Shop")
    assert made["secret"].startswith("whsec_")
    one = str(made["endpoint_id"])
    (listed,) = told(run, "webhooks", "list")
    assert listed == told(run, "webhooks", "show", one)
    assert listed["event_types"] == ["listing.*"]
    assert not {"secret", "previous_secret", "total"} & listed.keys()
    delivery = str(told(run, "webhooks", "test", one)["delivery_id"])
    failed = "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, date_finished = now()"
    with committed_databases.session() as session, session.begin():
        session.execute(sa.text(failed))
    assert run("webhooks", "resend", one).exit_code == USAGE
    assert told(run, "webhooks", "resend", one, "--failed", "--since", "1h", "--dry-run")["changed"] == 1
    assert run("webhooks", "resend", one, delivery).stdout == f"Resent the delivery {delivery}.\n"
    # What was sent again is not sent once more.
    assert told(run, "webhooks", "resend", one, "--failed")["matched"] == 0
    found = told(run, "webhooks", "deliveries", one)
    assert "total" not in found[0]
    kinds = {row["kind"]: row["status"] for row in found}
    assert kinds == {"test": "failed", "resend": "waiting"}
    assert len(told(run, "webhooks", "deliveries", one, "--status", "failed", "--type", "webhook.tested")) == 1
    assert run("webhooks", "disable", one).exit_code == DONE
    assert run("webhooks", "disable", one).exit_code == run("webhooks", "test", one).exit_code == CONFLICT
    assert run("webhooks", "enable", one).exit_code == DONE
    assert run("webhooks", "delete", one).exit_code == USAGE, "nobody said yes"
    assert run("--yes", "webhooks", "delete", one).exit_code == DONE
    assert run("webhooks", "show", one).exit_code == run("webhooks", "deliveries", one).exit_code == NOT_FOUND


def test_a_test_waits_for_the_answer(run: Run, committed_databases: Databases, tmp_path: Path) -> None:
    settings = replace(OPEN, data_dir=tmp_path)
    with receiving() as receiver:
        with committed_databases.session() as session, session.begin():
            one = str(make_webhook(session, receiver.url).endpoint_id)
        alone = run("webhooks", "test", one, "--wait", "--timeout", "1")
        assert alone.exit_code == FAILED
        assert re.fullmatch(
            "No answer after 1 second, and the delivery [0-9]+ still waits: no worker is there. Start one: .*\n",
            alone.stdout,
        )
        ended, called, going_on = Event(), Event(), Event()

        def slowly(_request: Received) -> tuple[int, dict[str, str], bytes]:
            called.set()
            going_on.wait(10)
            return 200, {}, b"thanks"

        receiver.answer = slowly

        def work() -> None:
            while not ended.wait(0.05):
                deliver(committed_databases, settings)

        thread = Thread(target=work)
        thread.start()
        try:
            assert called.wait(20)
            behind = run("webhooks", "test", one, "--wait", "--timeout", "1")
            going_on.set()
            taken = run("webhooks", "test", one, "--wait")
            receiver.answer = lambda _request: (500, {}, b"on fire")
            refused = run("--json", "webhooks", "test", one, "--wait")
            receiver.answer = lambda _request: (410, {}, b"")
            gone = run("webhooks", "test", one, "--wait")
        finally:
            ended.set()
            thread.join()
    # The worker beside it logs to the same place, before it and after it.
    assert taken.exit_code == DONE and "It took the event and answered 200." in taken.stdout.splitlines()
    assert "a worker is there, but the endpoint still has to answer to earlier deliveries." in behind.stdout
    assert (behind.exit_code, gone.exit_code) == (FAILED, FAILED)
    switched_off = "It answered 410. The webhook {0} is switched off by that; once the receiver is back: "
    assert f"{switched_off}marketplace-admin webhooks enable {{0}}".format(one) in gone.stdout.splitlines()
    (document,) = re.findall(r"^\{$.*?^\}$", refused.stdout, re.DOTALL | re.MULTILINE)
    answer = json.loads(document)
    assert (refused.exit_code, answer["response_status"], answer["response_body"]) == (FAILED, 500, "on fire")


def test_secrets_that_another_secret_sealed_are_found_and_replaced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def finding() -> dict[str, str]:
        rows = json.loads(run("--json", "doctor").stdout)
        return next((row for row in rows if row["check"] == "webhook secrets"), {"state": "silent"})

    assert finding()["state"] == "silent"
    ids = [str(told(run, "webhooks", "create", f"https://{name}.example/")["endpoint_id"]) for name in "ab"]
    assert finding()["state"] == "ok"
    monkeypatch.setenv("MARKETPLACE_SECRET", "another-secret-of-the-service-" * 2)
    lost = finding()
    assert (lost["state"], f"rotate-secret {' '.join(ids)}," in lost["remedy"]) == ("problem", True)
    assert run("webhooks", "rotate-secret", *ids).exit_code == USAGE, "nobody said yes to several"
    assert run("--yes", "webhooks", "rotate-secret", ids[0], "999").exit_code == NOT_FOUND
    assert f"for {', '.join(ids)}:" in finding()["detail"], "all or none"
    made = told(run, "--yes", "webhooks", "rotate-secret", *ids)
    assert [str(row["endpoint_id"]) for row in made] == ids
    assert len({row["secret"] for row in made if row["secret"].startswith("whsec_")}) == 2
    assert finding()["state"] == "ok"
