"""What jobs reach beyond the database."""

from __future__ import annotations

from dataclasses import dataclass

from marketplace_api.gateways.email import Mailer
from marketplace_api.gateways.storage import Storage, make_storage
from marketplace_api.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers reach beyond the database."""

    settings: Settings
    mailer: Mailer

    @property
    def storage(self) -> Storage:
        """Where files are."""
        return make_storage(self.settings)
