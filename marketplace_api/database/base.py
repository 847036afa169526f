"""What tables are declared with: the base of mapped classes, the names of constraints, column types."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BIGINT_MAX = 2**63 - 1

BigId = Annotated[int, mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)]
BigInt = Annotated[int, mapped_column(sa.BigInteger)]
Timestamp = Annotated[datetime, mapped_column(sa.DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())]
Money = Annotated[Decimal, mapped_column(sa.Numeric(12, 2))]
Version = Annotated[int, mapped_column(sa.Integer, server_default=sa.text("1"))]
Json = Annotated[dict[str, Any], mapped_column(postgresql.JSONB)]
# How many ratings of 1, 2, 3, 4 and 5 stars.
RatingHistogram = Annotated[
    list[int], mapped_column(postgresql.ARRAY(sa.Integer), server_default=sa.text("'{0,0,0,0,0}'"))
]
TextArray = Annotated[list[str], mapped_column(postgresql.ARRAY(sa.Text), server_default=sa.text("'{}'"))]


class Base(DeclarativeBase):
    """Base of all mapped classes."""

    metadata = sa.MetaData(naming_convention=NAMING)


def table_of(model: type[DeclarativeBase]) -> sa.Table:
    """The table of a mapped class, for Core statements."""
    table = model.__table__
    assert isinstance(table, sa.Table)
    return table
