"""What jobs reach beyond the database."""

from __future__ import annotations

from dataclasses import dataclass

from marketplace_api.config.settings import Settings
from marketplace_api.gateways.email import Mailer
from marketplace_api.gateways.sms import SmsSender, make_sms
from marketplace_api.gateways.storage import Storage, make_storage
from marketplace_api.gateways.webpush import PushSender, make_push


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers reach beyond the database."""

    settings: Settings
    mailer: Mailer

    @property
    def storage(self) -> Storage:
        """Where files are."""
        return make_storage(self.settings)

    @property
    def sms(self) -> SmsSender:
        """How text messages leave."""
        return make_sms(self.settings)

    @property
    def push(self) -> PushSender:
        """How notifications reach browsers."""
        return make_push(self.settings)
