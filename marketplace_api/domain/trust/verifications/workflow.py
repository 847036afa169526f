"""Where the verification of an account stands: the workflow table, and what it lets happen."""

from __future__ import annotations

from typing import Any

from marketplace_api.domain.kernel.workflow import Reason, Transition, Workflow
from marketplace_api.errors import Conflict

OWN = "/api/users/me/verification"
NONE = "none"

VERIFICATION_WORKFLOW = Workflow(
    name="verification",
    states={
        NONE: "Nothing was sent yet.",
        "pending": "A document waits for a moderator's decision.",
        "approved": "A moderator is convinced: the account is verified.",
        "rejected": "A moderator is not convinced; `reason` says why, and another document can be sent.",
        "expired": "It was approved until a time that has passed; a new document can be sent.",
    },
    initial=(NONE,),
    transitions=(
        Transition(
            "submit",
            frozenset({NONE, "rejected", "expired"}),
            "pending",
            "verification:submit",
            "Send a document",
            "Moderators look at it and decide.",
        ),
        Transition(
            "approve",
            frozenset({"pending"}),
            "approved",
            "verification:decide",
            "Approve",
            "The account is verified, until `expires_at` where that is given.",
        ),
        Transition(
            "reject",
            frozenset({"pending"}),
            "rejected",
            "verification:decide",
            "Reject",
            "The owner reads the reason and may send another document.",
            Reason.REQUIRED,
        ),
        Transition(
            "expire",
            frozenset({"approved"}),
            "expired",
            "",
            "Expire",
            "By the clock once `expires_at` has passed, or by an operator: the account is not verified any more.",
        ),
    ),
)


def status_of(row: Any | None) -> str:
    """The state that an account's newest verification (``None`` without any) puts it into."""
    return NONE if row is None else str(row.status)


def possible(status: str, step: str) -> bool:
    """Whether ``step`` can be taken from ``status``."""
    return status in VERIFICATION_WORKFLOW.step(step).sources


def require_possible(status: str, step: str, link: str) -> Transition:
    """The transition; raises Conflict ``wrong_state`` with the state and a ``link`` to what is in it."""
    if not possible(status, step):
        raise refused(status, step, link)
    return VERIFICATION_WORKFLOW.step(step)


def refused(status: str, step: str, link: str) -> Conflict:
    return Conflict(
        f"The step `{step}` is not possible while the verification is {status}.",
        "wrong_state",
        extra={"state": status},
        link=link,
    )
