"""What becomes of a verification and its document when time passes, and what its owner takes out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.media.files import store
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.jobs.services import Services
from marketplace_api.jobs.trust.maintenance import expire_verifications, purge_documents
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.verifications import Verification
from tests.functional.test_verifications import OWN, is_verified, send, told, waiting
from tests.support.client import Client
from tests.support.problems import assert_problem


@pytest.fixture
def storage(app: Any) -> LocalStorage:
    kept: LocalStorage = app.registry.storage
    return kept


def test_an_approval_that_is_over_and_a_document_whose_time_is_over(
    owner: Client, moderator: Client, db: Session, databases: Databases, settings: Settings, storage: LocalStorage
) -> None:
    services = Services(settings, None)  # type: ignore[arg-type]  no mail is sent here
    path = waiting(owner, moderator)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    moderator.post(f"{path}/approve", {"expires_at": soon})
    number = int(path.rpartition("/")[2])
    row = sa.update(Verification).where(Verification.verification_id == number)
    quietly = {"execution_options": {"synchronize_session": False}}
    expire_verifications(db, services)
    purge_documents(db, services)
    assert (owner.get(OWN).json["status"], is_verified(owner)) == ("approved", True)
    db.execute(row.values(expires_at=sa.func.now() - timedelta(seconds=1)), **quietly)
    db.commit()
    expire_verifications(db, services)
    assert (owner.get(OWN).json["status"], is_verified(owner)) == ("expired", False)
    assert told(db, path)[-1].type == "verification.expired"
    key = db.execute(sa.select(Verification.file_key).where(Verification.verification_id == number)).scalar_one()
    assert key is not None
    db.execute(
        row.values(date_decided=sa.func.now() - timedelta(days=settings.document_keep_days, seconds=1)), **quietly
    )
    db.commit()
    purge_documents(db, services)
    event = told(db, path)[-1]
    assert (event.type, event.new.keys()) == ("verification.documents_purged", {"user_id", "documents_purged_at"})
    store.clear(db, storage, datetime.now(UTC))
    assert storage.find(key) is None
    assert db.get(File, key) is None
    shown = moderator.get(path).json
    assert shown["documents"] == [{"document_type": "passport", "name": "id.png"}]
    assert shown["documents_purged_at"] and "mkt:document" not in shown["_links"]
    assert_problem(moderator.get(f"{path}/document?reason=Late"), 410, "gone")
    assert owner.get(OWN).json["documents_purged_at"]
    assert send(owner).status_int == 200


def test_taking_out_ones_data_names_documents(owner: Client, moderator: Client) -> None:
    path = waiting(owner, moderator)
    moderator.get(f"{path}/document?reason=To+compare")
    moderator.post(f"{path}/reject", {"reason": "It is blurred."})
    export = owner.get("/api/users/me/export").json
    (held,) = export["verifications"]
    assert (held["document_name"], held["status"], held["reason"]) == ("id.png", "rejected", "It is blurred.")
    assert held.keys().isdisjoint({"file_key", "envelope", "key_id", "decided_by"})
    about = [(event["type"], event["reason"]) for event in export["events"] if event["subject_type"] == "verification"]
    assert about == [
        ("verification.submitted", None),
        ("verification.document_opened", "To compare"),
        ("verification.rejected", "It is blurred."),
    ]
    assert moderator.get("/api/users/me/export").json["verifications"] == []
