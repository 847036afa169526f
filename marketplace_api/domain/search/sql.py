"""How the SQL of search is prepared."""

from __future__ import annotations

import re

import sqlalchemy as sa

from marketplace_api.db import Prepared

_PARAMETER = re.compile(r"CAST\((:\w+) AS ([\w\[\]]+)\)")
_LIMIT = re.compile(r"\b(LIMIT|OFFSET) (:\w+)")


def prepared(sql: str) -> Prepared:
    """``sql`` with ``:name`` parameters, ready to run.

    The values of parameters that are cast, and of limits, are kept from the planner. Seeing them it would hope for a
    better plan from each new set of values and plan anew at every call, which takes longer than most searches; as all
    ways look alike to it, it keeps one plan.
    """
    hidden = _PARAMETER.sub(r"CAST((SELECT CAST(\1 AS \2)) AS \2)", sql)
    return Prepared(sa.text(_LIMIT.sub(r"\1 (SELECT CAST(\2 AS bigint))", hidden)))
