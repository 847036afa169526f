"""What search keeps beside the listings: how many searchable listings hold each term, and which hold the frequent ones.

The counts are exact at every moment: a trigger on ``listings`` appends what each statement changed to
``search_term_deltas`` and a job folds these into ``search_terms``; a reader adds both. Appending locks nothing
that another writer needs, so two people who publish at once never wait for each other.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt

LEXEME, WORD, PHRASE, PLACE = 0, 1, 2, 3
"""The kinds of terms: lexemes and marks of ``listings.document``; words of titles, pairs of them, "City, State"."""


class SearchTerm(Base):
    """A term and the number of searchable listings that hold it, as of the last folding."""

    __tablename__ = "search_terms"

    kind: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    term: Mapped[str] = mapped_column(sa.Text(collation="C"), primary_key=True)
    count: Mapped[int]
    has_bitmaps: Mapped[bool] = mapped_column(server_default=sa.false())

    __table_args__ = (
        # Suggestions want the most frequent terms below a prefix. One index per length of head keeps the walk short.
        *(
            sa.Index(
                f"ix_search_terms_head_{length}",
                "kind",
                sa.text(f'"left"(term, {length})'),
                sa.text("count DESC"),
                postgresql_where=sa.text("kind > 0"),
            )
            for length in (1, 3, 6)
        ),
        sa.Index(
            "ix_search_terms_similar",
            "term",
            postgresql_using="gin",
            postgresql_ops={"term": "gin_trgm_ops"},
            postgresql_where=sa.text("kind = ANY (ARRAY[1, 3])"),
            postgresql_with={"fastupdate": "off"},
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


class SearchBitmap(Base):
    """Which of 4,096 listings hold a frequent lexeme: bit n of block b stands for the listing 4,096 b + n.

    Ands and ors of these count common words together without visiting a row. They lag behind: a reader leaves out the
    listings in ``search_changes`` and looks at those themselves.
    """

    __tablename__ = "search_bitmaps"

    term: Mapped[str] = mapped_column(sa.Text(collation="C"), primary_key=True)
    block: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    bits: Mapped[str] = mapped_column(postgresql.BIT(4096))

    __table_args__ = (sa.Index("ix_search_bitmaps_block", "block"),)


class SearchChange(Base):
    """A listing that changed since the bitmaps were brought up to date."""

    __tablename__ = "search_changes"

    change_id: Mapped[BigId]
    listing_id: Mapped[BigInt]
