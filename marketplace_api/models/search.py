"""What search keeps beside the listings: how many searchable listings hold each term.

The counts are exact at every moment: a trigger on ``listings`` appends what each statement changed to
``search_term_deltas`` and a job folds these into ``search_terms``; a reader adds both. Appending locks nothing
that another writer needs, so two people who publish at once never wait for each other.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.db import Base, BigId

LEXEME, WORD, PHRASE, PLACE = 0, 1, 2, 3
"""The kinds of terms: lexemes and marks of ``listings.document``; words of titles, pairs of them, "City, State"."""


class SearchTerm(Base):
    """A term and the number of searchable listings that hold it, as of the last folding."""

    __tablename__ = "search_terms"

    kind: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    term: Mapped[str] = mapped_column(sa.Text(collation="C"), primary_key=True)
    count: Mapped[int]

    __table_args__ = (
        # Suggestions want the most frequent terms below a prefix. One index per length of head keeps the walk short.
        *(
            sa.Index(
                f"ix_search_terms_head_{length}", "kind", sa.text(f'"left"(term, {length})'), sa.text("count DESC"),
                postgresql_where=sa.text("kind > 0"),
            )
            for length in (1, 3, 6)
        ),
        sa.Index(
            "ix_search_terms_similar", "term", postgresql_using="gin", postgresql_ops={"term": "gin_trgm_ops"},
            postgresql_where=sa.text("kind = ANY (ARRAY[1, 3])"), postgresql_with={"fastupdate": "off"},
        ),
    )


class SearchTermDelta(Base):
    """What a statement added to or took from the count of a term, until it is folded."""

    __tablename__ = "search_term_deltas"

    delta_id: Mapped[BigId]
    kind: Mapped[int] = mapped_column(sa.SmallInteger)
    term: Mapped[str] = mapped_column(sa.Text(collation="C"))
    delta: Mapped[int]

    __table_args__ = (sa.Index("ix_search_term_deltas_term", "kind", "term"),)
