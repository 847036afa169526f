"""What may stand between a reviewer and those whom they would review; ``queries.obstacles`` finds out what does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from marketplace_api.config.settings import Settings


@dataclass(frozen=True, slots=True)
class ReviewRules:
    """What the settings ask of a reviewer beyond a confirmed address; see the fields of the same names."""

    need_conversation: bool = False
    account_days: int = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> ReviewRules:
        return cls(settings.reviews_need_conversation, settings.reviews_account_days)


NOTHING_MORE = ReviewRules()


class Obstacle(StrEnum):
    """Why somebody may not review somebody now, by the code of the refusal."""

    BLOCKED = "blocked"
    UNCONFIRMED = "email_unconfirmed"
    TOO_NEW = "account_too_new"
    NO_CONVERSATION = "no_conversation"
