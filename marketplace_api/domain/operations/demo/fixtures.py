"""The demo content as it is written in ``demo_data``: tables, conversations, drawings; and chance that is no chance."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

LISTING_FILES = ("vehicles", "housing", "electronics", "home-garden", "leisure", "everything-else")


@dataclass(frozen=True, slots=True)
class WrittenConversation:
    """What two people wrote to each other about a listing.

    ``buyer`` began, ``days_ago``; whoever got the last message has read it unless ``unread``.
    """

    title: str
    buyer: str
    days_ago: float
    unread: bool
    archived_by: str
    messages: tuple[tuple[str, str], ...]


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of one table; an empty cell is an empty text."""
    return csv.DictReader(text(f"{name}.csv").splitlines(), restval="", strict=True)


def listings() -> list[dict[str, str]]:
    """The rows of all listings, the oldest first, so that ids have the order of the dates."""
    found = [row for name in LISTING_FILES for row in rows(name)]
    return sorted(found, key=lambda row: -float(row["days_ago"]))


def people() -> dict[str, dict[str, str]]:
    """The rows of all people by user name, who joined first before the others."""
    found = sorted(rows("people"), key=lambda row: -float(row["days_ago"]))
    return {row["username"]: row for row in found}


def talks() -> Iterator[WrittenConversation]:
    """The conversations of ``conversations.txt``."""
    for block in text("conversations.txt").split("# ")[1:]:
        head, *lines = block.strip().splitlines()
        title, buyer, days_ago, *flags = head.split(" | ")
        flag = flags[0] if flags else ""
        messages = tuple((name, content) for name, _, content in (line.partition(": ") for line in lines))
        archived_by = flag.removeprefix("archived ") if flag.startswith("archived ") else ""
        yield WrittenConversation(title, buyer, float(days_ago), flag == "unread", archived_by, messages)


def text(name: str) -> str:
    """A file of the demo data."""
    return (files("marketplace_api.domain.operations") / "demo_data" / name).read_text(encoding="utf-8")


def seeded(*purpose: str) -> random.Random:
    """A dice that falls the same way in every process for the same purpose."""
    return random.Random("/".join(purpose))  # noqa: S311  nothing depends on its being guessed
