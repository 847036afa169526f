"""E-mails as files in a folder, for development."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path

from marketplace_api.errors import Unavailable


@dataclass(frozen=True, slots=True)
class LocalMailer:
    """Writes one ``.eml`` per message into ``folder``; the names sort by time and tell the recipient."""

    folder: Path

    def send(self, message: EmailMessage) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{stamp}-{_slug(message['To'] or 'nobody')}-{secrets.token_hex(3)}"
        # Only an address that is not ASCII needs raw UTF-8 in headers (RFC 6531).
        content = message.as_bytes(policy=policy.SMTP if str(message["To"]).isascii() else policy.SMTPUTF8)
        unfinished = self.folder / f".{name}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The mail may hold a token, so nobody else may read it; and who lists *.eml sees whole messages only.
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            unfinished.rename(self.folder / f"{name}.eml")
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise Unavailable(f"The mail folder {self.folder} cannot be written ({error.strerror}).") from None


def _slug(recipient: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", str(recipient).lower().replace("@", "-at-")).strip("-.")[:80] or "nobody"
