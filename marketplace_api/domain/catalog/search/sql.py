"""How the SQL of search is prepared."""

from __future__ import annotations

import re

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared

_PARAMETER = re.compile(r"CAST\((:\w+) AS ([\w\[\]]+)\)")


def prepared(sql: str) -> Prepared:
    """``sql`` with ``:name`` parameters, ready to run.

    The values of parameters that are cast are kept from the planner. Seeing them it would hope for a better plan from
    each new set of values and plan anew at every call, which takes longer than most searches; as all ways look alike to
    it, it keeps one plan. Limits it must see: it would take an unknown one for a tenth of the table.
    """
    return Prepared(sa.text(_PARAMETER.sub(r"CAST((SELECT CAST(\1 AS \2)) AS \2)", sql)))
