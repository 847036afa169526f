"""Deliveries for tests: what is due is sent by the job's own function, to a mailer that keeps what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import now_of
from marketplace_api.jobs.outbound.channels import send_due
from marketplace_api.jobs.services import Services

SETTINGS = Settings(public_url="https://market.example", email_from="Market <no-reply@market.example>")


@dataclass
class Post:
    """A mailer that keeps what it gets, or raises what it is told to."""

    sent: list[EmailMessage] = field(default_factory=list)
    trouble: Exception | None = None

    def send(self, message: EmailMessage) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.append(message)

    @property
    def services(self) -> Services:
        return Services(SETTINGS, self)

    def texts(self) -> list[str]:
        """What the mails since the last time say, without greeting and footer."""
        bodies = [text_of(message) for message in self.sent]
        self.sent.clear()
        return [body.split("\n\n", 1)[1].split("\n-- \n")[0].strip() for body in bodies]


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content


def send_mails(session: Session, post: Post, *, minutes: float = 3, now: datetime | None = None) -> None:
    """Send the e-mails that are due by the database's clock and so many minutes later, or at a moment."""
    at = now or now_of(session) + timedelta(minutes=minutes)
    send_due(session, post.services, "email", at)


def deliveries(session: Session, **values: Any) -> list[tuple[str, str, str | None]]:
    """Type, status and error of the e-mails there are, or of those with these values, the oldest first."""
    where = " AND ".join(f"{name} = :{name}" for name in {"channel": "email", **values})
    statement = sa.text(f"SELECT type, status, error FROM deliveries WHERE {where} ORDER BY delivery_id")
    return [tuple(row) for row in session.execute(statement, {"channel": "email", **values})]  # type: ignore[misc]
