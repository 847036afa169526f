"""Sending e-mails: as files for development, or through an SMTP server; ``email.backend`` chooses.

What the messages say is in ``templates/``; who gets one is decided in ``jobs/``.
"""

from __future__ import annotations

from marketplace_api.config.settings import Settings
from marketplace_api.gateways.email.base import Mailer
from marketplace_api.gateways.email.local import LocalMailer
from marketplace_api.gateways.email.smtp import SmtpMailer

__all__ = ["LocalMailer", "Mailer", "SmtpMailer", "make_mailer"]


def make_mailer(settings: Settings) -> Mailer:
    """The mailer that ``email.backend`` names."""
    if settings.email_backend == "smtp":
        return SmtpMailer.from_url(settings.smtp_url)
    return LocalMailer(settings.data_dir / "mail")
