"""Folding what the triggers noted into the counts of terms."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

FREQUENT = 2_000
"""Lexemes that so many listings hold get bitmaps: rarer ones are found by the index in little time."""

_LOCK = 0x6D61726B6574  # one folding at a time: two would wait for each other's terms

_TRY_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(:lock)")
_FOLD = sa.text(
    """
    WITH taken AS (
        DELETE FROM search_term_deltas
        WHERE delta_id IN (SELECT delta_id FROM search_term_deltas ORDER BY delta_id LIMIT :batch)
        RETURNING kind, term, delta
    ), summed AS (SELECT kind, term, sum(delta) AS delta, count(*) AS taken FROM taken GROUP BY kind, term),
    merged AS (
        INSERT INTO search_terms AS base (kind, term, count) SELECT kind, term, delta FROM summed WHERE delta <> 0
        ON CONFLICT (kind, term) DO UPDATE SET count = base.count + excluded.count
        RETURNING kind, term, count
    )
    SELECT (SELECT coalesce(sum(taken), 0) FROM summed) AS taken,
        ARRAY(SELECT kind FROM merged WHERE count = 0) AS kinds, ARRAY(SELECT term FROM merged WHERE count = 0) AS terms
    """
)
_FORGET = sa.text(
    """
    DELETE FROM search_terms AS base
    USING unnest(CAST(:kinds AS smallint[]), CAST(:terms AS text[])) AS gone (kind, term)
    WHERE base.kind = gone.kind AND base.term = gone.term COLLATE "C" AND base.count = 0
    """
)
_FOLD_BITMAPS = sa.text("SELECT fold_search_bitmaps(:batch, :frequent)")
_RECOUNT = sa.text("SELECT recount_search_terms()")


def compact_terms(session: Session, batch: int = 50_000, frequent: int = FREQUENT) -> int:
    """Fold up to ``batch`` noted changes into the counts and the bitmaps; returns how many it folded.

    Lexemes that ``frequent`` listings hold get bitmaps.
    0 means that nothing is left or that another folding runs. What readers count does not change.
    """
    if not session.execute(_TRY_LOCK, {"lock": _LOCK}).scalar_one():
        return 0
    folded = session.execute(_FOLD, {"batch": batch}).one()
    if folded.terms:
        session.execute(_FORGET, {"kinds": folded.kinds, "terms": folded.terms})
    bitmaps = session.execute(_FOLD_BITMAPS, {"batch": max(1, batch // 10), "frequent": frequent}).scalar_one()
    return int(folded.taken) + int(bitmaps)


def recount_terms(session: Session) -> None:
    """Count every term anew from the listings; writers wait meanwhile. For repairs and after bulk loads."""
    session.execute(_RECOUNT)
