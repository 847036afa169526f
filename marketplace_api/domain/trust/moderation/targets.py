"""What can be moderated in bulk: each target with its actions, and the fields that conditions may name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.kernel import money
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.filters import Condition, Field, Kind, refused
from marketplace_api.domain.trust.moderation import accounts, listings, messages, preview, reported_messages
from marketplace_api.domain.trust.moderation.reported_messages import REPORTED
from marketplace_api.domain.trust.moderation.results import Done, Result
from marketplace_api.domain.trust.moderation.savepoints import PreviewAction, Removal
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import ROLES, STATES, User
from marketplace_api.models.trust.reports import REASONS

Act = Callable[[Session, Actor, str, str, Sequence[int]], list[Result]]
Revert = Callable[[Session, Actor, str, Sequence[Done]], list[Result]]

_l, _u, _r = table_of(Listing).c, table_of(User).c, table_of(Review).c


@dataclass(frozen=True, slots=True)
class Named:
    """A field and the expression that it stands for; ``folds`` where names that differ in case are the same name."""

    field: Field
    column: Any
    folds: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of things: ``shown`` are the fields of a sample, ``part`` is how many one transaction acts upon."""

    name: str
    key: Any
    named: Mapping[str, Named]
    shown: tuple[str, ...]
    actions: tuple[str, ...]
    act: Act
    revert: Revert
    preview: PreviewAction
    part: int

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields that conditions may name."""
        return {name: named.field for name, named in self.named.items()}

    def clause(self, db: Reader, conditions: Sequence[Condition]) -> sa.ColumnElement[bool]:
        """The conditions in SQL; every value is a bound parameter.

        Raises Invalid for a value that nothing can have, and for an amount of no currency where there are several.
        """
        found = sa.and_(*(self._compare(db, condition) for condition in conditions))
        self._require_one_currency(db, conditions, found)
        return found

    def _require_one_currency(
        self, db: Reader, conditions: Sequence[Condition], clause: sa.ColumnElement[bool]
    ) -> None:
        """Ten of one currency are not ten of another, but nothing is nothing in all of them."""
        amounts = [each for each in conditions if self.named[each.field].field.kind is Kind.MONEY and each.value != 0]
        bare = next((each for each in amounts if not each.currency), None)
        if bare is None:
            return
        currency = self.named["currency"].column
        found = db.execute(
            sa.select(currency, sa.func.count()).where(clause).group_by(currency).order_by(currency)
        ).all()
        if len(found) > 1:
            counted = ", ".join(f"{count:,} in {name}" for name, count in found)
            typed = f"{bare.field} {bare.operator} {bare.value}"
            raise refused(
                f"`{typed}` would compare amounts of different currencies ({counted}): name one, `{typed} {found[0][0]}`."
            )

    def _compare(self, db: Reader, condition: Condition) -> sa.ColumnElement[bool]:
        named, value = self.named[condition.field], condition.value
        column = named.column
        if condition.field == "category" and condition.operator != "~":
            found: sa.ColumnElement[bool] = column.in_(_categories(db, value))
            return found if condition.operator == "=" else ~found
        if condition.currency:
            of_currency = self.named["currency"].column == sa.literal(condition.currency, sa.Text)
            return sa.and_(of_currency, _COMPARE[condition.operator](column, sa.literal(value, sa.Numeric)))
        if named.field.kind is Kind.SET:
            held = sa.literal(value, sa.Text) == sa.any_(column)
            return held if condition.operator == "=" else ~held
        if condition.operator == "~":
            contains: sa.ColumnElement[bool] = column.icontains(value, autoescape=True)
            return contains
        if named.folds:
            return _COMPARE[condition.operator](sa.func.lower(column), sa.func.lower(sa.literal(value, sa.Text)))
        return _COMPARE[condition.operator](column, sa.literal(value, _TYPES[named.field.kind]))


# Of no particular length: a value that the column could not hold is not cut to fit, but equals nothing in it.
_TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: sa.Text(),
    Kind.CHOICE: sa.Text(),
    Kind.NUMBER: sa.Numeric(),
    Kind.MONEY: sa.Numeric(),
    Kind.IDENTIFIER: sa.BigInteger(),
    Kind.FLAG: sa.Boolean(),
    Kind.TIME: sa.DateTime(timezone=True),
}

# What is unknown is unlike any value, and neither more nor less.
_COMPARE: Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": lambda column, value: column.is_distinct_from(value),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _categories(db: Reader, slug: str) -> tuple[str, ...]:
    """The category and all below it; raises Invalid where there is none of that name."""
    found = categories.descendants(db, slug)
    if not found:
        close = get_close_matches(slug, [node.slug for node in categories.walk(categories.tree(db))], n=1, cutoff=0.5)
        meant = f"did you mean {close[0]!r}?" if close else "`GET /api/categories` lists them."
        raise refused(f"There is no category {slug!r}; {meant}")
    return found


def _text(column: Any) -> Named:
    return Named(Field(Kind.TEXT), column)


def _name(column: Any) -> Named:
    return Named(Field(Kind.TEXT), column, folds=True)


def _number(column: Any) -> Named:
    return Named(Field(Kind.NUMBER), column)


def _id(column: Any) -> Named:
    return Named(Field(Kind.IDENTIFIER), column)


def _time(column: Any) -> Named:
    return Named(Field(Kind.TIME), column)


def _flag(column: Any) -> Named:
    return Named(Field(Kind.FLAG), column)


def _choice(column: Any, *options: str) -> Named:
    return Named(Field(Kind.CHOICE, options), column)


def _rating(columns: Any) -> Any:
    """The average of stars; nothing compares with that of what has none."""
    return columns.rating_sum / sa.func.nullif(sa.cast(columns.rating_count, sa.Numeric), 0)


LISTINGS = Target(
    name="listings",
    key=_l.listing_id,
    named={
        "title": _text(_l.title),
        "description": _text(_l.description),
        "category": _text(_l.category),
        "price": Named(Field(Kind.MONEY), _l.price),
        "currency": _choice(_l.currency, *sorted(money.CURRENCIES)),
        "status": _choice(
            sa.case((_l.deleted_at.is_not(None), "deleted"), else_=_l.status), *LISTING_WORKFLOW.states, "deleted"
        ),
        "verified": _flag(_l.is_verified_listing),
        "city": _text(_l.city),
        "country": _text(_l.country),
        "photos": _number(_l.photo_count),
        "rating": _number(_rating(_l)),
        "ratings": _number(_l.rating_count),
        "created": _time(_l.date_created),
        "updated": _time(_l.date_updated),
        "listing_id": _id(_l.listing_id),
        "user_id": _id(_l.user_id),
    },
    shown=("listing_id", "title", "category", "price", "currency", "status", "user_id", "created"),
    actions=listings.ACTIONS,
    act=listings.act,
    revert=listings.revert,
    preview=listings.preview,
    part=2_000,
)

USERS = Target(
    name="users",
    key=_u.user_id,
    named={
        "username": _name(_u.username),
        "email": _name(_u.email),
        "bio": _text(_u.bio),
        "role": Named(Field(Kind.SET, ROLES), _u.roles),
        "state": _choice(_u.state, *STATES),
        "verified": _flag(_u.is_verified),
        "confirmed": _flag(_u.email_confirmed_at.is_not(None)),
        "rating": _number(_rating(_u)),
        "ratings": _number(_u.rating_count),
        "joined": _time(_u.date_joined),
        "last_login": _time(_u.last_login),
        "user_id": _id(_u.user_id),
    },
    shown=("user_id", "username", "email", "role", "state", "joined", "last_login"),
    actions=accounts.ACTIONS,
    act=accounts.act,
    revert=accounts.revert,
    preview=accounts.preview,
    part=50,
)

_reviews = Removal(
    writing.delete, writing.restore, lambda session, _actor, id_: review_rows.find(session, id_), preview.of_reviews
)
_messages = Removal(
    messages.remove,
    messages.restore,
    lambda session, actor, id_: reported_messages.find(session, id_, actor.user_id),
    preview.of_messages,
)

REVIEWS = Target(
    name="reviews",
    key=_r.review_id,
    named={
        "comment": _text(_r.comment),
        "reply": _text(_r.reply),
        "rating": _number(_r.rating),
        "status": _choice(sa.case((_r.deleted_at.is_not(None), "deleted"), else_="published"), "published", "deleted"),
        "posted": _time(_r.date_posted),
        "review_id": _id(_r.review_id),
        "reviewer_id": _id(_r.reviewer_id),
        "listing_id": _id(_r.listing_id),
        "reviewee_id": _id(_r.reviewee_id),
    },
    shown=("review_id", "rating", "comment", "status", "reviewer_id", "listing_id", "reviewee_id", "posted"),
    actions=_reviews.ACTIONS,
    act=_reviews.act,
    revert=_reviews.revert,
    preview=_reviews.preview,
    part=50,
)

# Only what was reported: the rest is nobody's business but of the two. One message is one transaction, which so waits
# for one conversation at a time.
MESSAGES = Target(
    name="messages",
    key=REPORTED.c.message_id,
    named={
        "content": _text(REPORTED.c.content),
        "sender": _name(REPORTED.c.sender_username),
        "receiver": _name(REPORTED.c.receiver_username),
        "reason": Named(Field(Kind.SET, REASONS), REPORTED.c.reasons),
        "reports": _number(REPORTED.c.reports),
        "undecided": _number(REPORTED.c.undecided),
        "status": _choice(REPORTED.c.status, "sent", "deleted"),
        "sent": _time(REPORTED.c.timestamp_sent),
        "reported": _time(REPORTED.c.date_reported),
        "message_id": _id(REPORTED.c.message_id),
        "conversation_id": _id(REPORTED.c.conversation_id),
        "sender_id": _id(REPORTED.c.sender_id),
        "receiver_id": _id(REPORTED.c.receiver_id),
        "listing_id": _id(REPORTED.c.listing_id),
    },
    # Not what it says: that is read one by one, on the record.
    shown=("message_id", "sender", "receiver", "status", "reports", "reason", "sent"),
    actions=_messages.ACTIONS,
    act=_messages.act,
    revert=_messages.revert,
    preview=_messages.preview,
    part=1,
)

TARGETS: Mapping[str, Target] = {target.name: target for target in (LISTINGS, USERS, REVIEWS, MESSAGES)}
