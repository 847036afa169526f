"""What the queue of verifications costs, however long it is, and that the migration can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.trust.verifications import reading
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import People, make_user
from tests.factories.verifications import Office, make_verification
from tests.support.client import HAL_FORMS, Client
from tests.support.postgres import as_owner
from tests.support.sql_recorder import recorded

FILL = """
WITH people AS (
    INSERT INTO users (username, email, roles)
    SELECT 'sender' || n, 'sender' || n || '@people.example', '{customer}' FROM generate_series(1, :count) AS n
    RETURNING user_id
), stored AS (
    INSERT INTO files (key, kind, owner_id, content_type, size, sha256, state)
    SELECT 'document-' || md5(user_id::text) || '.bin', 'document', user_id, 'application/octet-stream', 1,
        sha256('x'), 'stored' FROM people RETURNING owner_id, key
)
INSERT INTO verifications (user_id, document_type, document_name, media_type, file_key, key_id, envelope)
SELECT owner_id, 'passport', 'mine.png', 'image/png', key, 'one', 'x' FROM stored
"""


@pytest.fixture
def moderator(people: People) -> Client:
    return people.moderator()


def test_a_longer_page_and_a_longer_queue_cost_no_more_statements(
    people: People, db: Session, moderator: Client
) -> None:
    make_verification(db, people.app)
    counts = set()
    for _round in range(2):
        for limit in (1, 100):
            with recorded() as statements:
                page = moderator.get(f"/api/moderation/verifications?limit={limit}", Accept=HAL_FORMS)
            assert page.status_int == 200
            counts.add(len(statements))
        if _round == 0:
            db.execute(sa.text(FILL), {"count": 300})
            db.commit()
    assert len(counts) == 1 and max(counts) <= 4


def test_the_queue_is_read_from_its_index(db: Session) -> None:
    db.execute(sa.text(FILL), {"count": 3_000})
    rows = (
        "UPDATE verifications SET status = 'rejected', reason = 'x', date_decided = now() WHERE verification_id % 2 = 0"
    )
    db.execute(sa.text(rows))
    with as_owner(db):
        db.execute(sa.text("ANALYZE verifications"))
        db.execute(sa.text("ANALYZE users"))
    page = reading.list_page(db, "pending", PageRequest(limit=10))
    following = reading.list_page(db, "pending", PageRequest(limit=10, cursor=page.next_cursor))
    seen = [row.verification_id for row in (*page.items, *following.items)]
    assert seen == sorted(set(seen)) and len(seen) == 20
    with recorded() as statements:
        reading.list_page(db, "pending", PageRequest(limit=10, cursor=following.next_cursor))
    assert len(statements) == 2
    for keyed in (False, True):
        statement = reading._statement(keyed, False).compile(db.get_bind())
        values = {"wanted": "pending", "count": 11, "offset": 0, "key": seen[-1]}
        given = {**statement.params, **{name: value for name, value in values.items() if name in statement.params}}
        plan = db.connection().exec_driver_sql(f"EXPLAIN {statement}", given).scalars().all()
        assert any("ix_verifications_status" in line for line in plan), plan
        assert not any("Sort" in line for line in plan), plan


def test_going_back_takes_badges_and_documents_along(committed_databases: Databases, tmp_path: Any, app: Any) -> None:
    storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    with committed_databases.session() as session:
        office = Office(session, committed_databases, storage, app.registry.document_keys)
        users = [make_user(session) for _ in range(3)]
        session.commit()
        for user, step in zip(users, ("approve", "reject", None), strict=True):
            row = office.submit(user)
            if step:
                office.decide(row, step)
        # A badge that came another way stays.
        session.execute(sa.update(User).where(User.user_id == users[2].user_id).values(is_verified=True))
        session.commit()
    url = committed_databases.write.url.render_as_string(hide_password=False)
    committed_databases.dispose()
    migrations.downgrade(url, "0006")
    with committed_databases.owner_session() as session:
        assert set(session.execute(sa.text("SELECT state FROM files")).scalars()) == {"doomed"}
        verified = session.execute(sa.text("SELECT user_id FROM users WHERE is_verified")).scalars().all()
        assert verified == [users[2].user_id]
    migrations.upgrade(url)
