"""Documents and verifications for tests, made by the domain itself."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.trust.verifications import decisions, submission
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.images import make_image
from tests.factories.reviews import actor_of

STATES = ("none", "pending", "approved", "rejected", "expired", "purged")
PNG = make_image("PNG")


def make_pdf(text: str = "A very secret passport", size: int = 0) -> bytes:
    """A small PDF that says ``text``, padded to about ``size`` bytes."""
    stream = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode() + b" " * size
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return body + head + tail


class Office:
    """Sends documents and decides about them, on one database and storage."""

    def __init__(self, session: Session, databases: Databases, storage: Storage, keys: DocumentKeys) -> None:
        self.session, self.databases, self.storage, self.keys = session, databases, storage, keys

    def submit(self, user: User, content: bytes = PNG, name: str = "mine.png") -> Any:
        """A pending verification of ``user``'s; returns its row."""
        row = submission.submit(
            self.session,
            self.databases,
            self.storage,
            self.keys,
            actor_of(user),
            document_type="passport",
            stream=BytesIO(content),
            name=name,
        )
        self.session.commit()
        return row

    def decide(self, row: Any, step: str, **values: Any) -> Any:
        """Approve or reject it, as a new moderator."""
        judge = actor_of(make_user(self.session, roles=["moderator"]))
        if step == "approve":
            row = decisions.approve(self.session, judge, row.verification_id, **values)
        else:
            row = decisions.reject(self.session, judge, row.verification_id, **{"reason": "It is blurred.", **values})
        self.session.commit()
        return row


def make_verification(session: Session, app: Any) -> Any:
    """A pending verification of a new account, whose document lies in the storage of ``app``; returns its row."""
    registry = app.registry
    office = Office(session, registry.databases, registry.storage, registry.document_keys)
    return office.submit(make_user(session))
