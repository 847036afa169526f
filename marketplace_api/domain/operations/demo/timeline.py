"""The market while it is being filled: who is there, what is offered, and what happens when.

Everything happens through the functions of the domain, in the order in which it is told to have happened: so ids,
counters, ratings and events come out as they do in life. The dates are put back afterwards, for no act of the domain
is back-dated; events keep the moment of the loading, for they are what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.operations.demo.image_pool import ImagePool
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.kernel.events import Event

Act = Callable[[datetime], None]
"""Something that happens; it is given the moment."""

Progress = Callable[[str], None]
"""Told in a few words how far the loading is."""


LATELY = timedelta(days=4)


@dataclass(slots=True)
class Timeline:
    """What the parts of the demo data share. ``listings`` has the ids by title, once they are there."""

    session: Session
    databases: Databases
    storage: Storage
    studio: ImagePool
    now: datetime
    people: dict[str, Actor]
    keys: DocumentKeys
    on_event: Callable[[Session, Event], None] | None
    listings: dict[str, int] = field(default_factory=dict)
    _acts: list[tuple[datetime, int, Act]] = field(default_factory=list)

    def ago(self, days: str | float) -> datetime:
        """So many days before the loading."""
        return self.now - timedelta(days=float(days))

    def plan(self, moment: datetime, act: Act) -> None:
        """Let ``act`` happen then, after whatever was planned for the same moment before."""
        self._acts.append((moment, len(self._acts), act))

    def run(self, progress: Progress) -> None:
        """Let everything happen that was planned, in its order.

        Of what happened lately people are still to be told: ``on_event`` hears of it.
        """
        for number, (moment, _, act) in enumerate(sorted(self._acts, key=lambda planned: planned[:2])):
            if number % 10 == 0:
                progress(f"Loading the demo data: {number} of {len(self._acts)} …")
            self.session.info["on_event"] = self.on_event if self.now - moment < LATELY else None
            act(moment)

    def date(self, model: type[DeclarativeBase], which: sa.ColumnElement[bool], **moments: Any) -> None:
        """Put back the dates of a row that an act has just written."""
        self.session.execute(sa.update(table_of(model)).where(which).values(moments))
