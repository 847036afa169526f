"""A finding: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marketplace_api.boot import BootError
from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Finding:
    """``state`` is ``ok``, ``warning`` (works, but mind it) or ``problem``."""

    check: str
    state: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is looked at: the settings, and the server section of the ini."""

    settings: Settings
    server: dict[str, str]
    ini: Path


def ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "warning", detail, remedy)


def problem(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "problem", detail, remedy)


def explained(check: str, error: Exception) -> Finding:
    """Sentences that say what to do say it after a colon."""
    detail, _, remedy = str(error).partition(": ")
    return problem(check, detail, f"{remedy[:1].upper()}{remedy[1:]}" or "Mend what the sentence names.")


def attempt(check: str, action: Callable[[], None], success: str) -> Finding:
    """Whether ``action`` succeeds; its error says what to do."""
    try:
        action()
    except (BootError, Unavailable) as error:
        return explained(check, error)
    return ok(check, success)
