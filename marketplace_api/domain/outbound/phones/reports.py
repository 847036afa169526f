"""What Twilio reports: whether a text message arrived, and who answered STOP or START."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.outbound.phones import queries

STOPPED = "21610"
STOP, START = "STOP", "START"

# Reports come in any order and more than once: what failed stays so, and what arrived did.
_BECAME = {
    "delivered": ("delivered", None),
    "undelivered": ("failed", "undelivered"),
    "failed": ("failed", "undelivered"),
}
_NOTE = sa.text(
    "UPDATE deliveries SET status = :status, error = :error "
    "WHERE channel = 'sms' AND provider_reference = :reference AND status = 'sent'"
)


def take(session: Session, rules: AccountRules, report: Mapping[str, str]) -> None:
    """Write down what a report (its fields as Twilio names them) says; what is unknown in it is passed over."""
    became = _BECAME.get(report.get("MessageStatus", ""))
    reference = report.get("MessageSid", "")
    with row_security.elevated(session):
        if became is not None and reference:
            status, error = became
            session.execute(_NOTE, {"status": status, "error": error, "reference": reference})
        # Of a message of ours the number is its receiver; of one to us, which has the answer, its sender.
        if report.get("ErrorCode") == STOPPED and report.get("To"):
            queries.stop(session, rules, report["To"])
        answer, sender = report.get("OptOutType", "").upper(), report.get("From", "")
        if sender and answer == STOP:
            queries.stop(session, rules, sender)
        elif sender and answer == START:
            queries.resume(session, rules, sender)
