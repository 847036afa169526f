"""The errors that the domain raises: each has a stable code and a sentence a person can act on.

No HTTP here; ``views/errors.py`` alone decides which status and body an error becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one piece of input.

    ``location`` is ``body``, ``querystring``, ``path`` or ``header``; ``name`` is the dotted path of the field.
    """

    location: str
    name: str
    code: str
    message: str

    def asdict(self) -> dict[str, str]:
        return {"location": self.location, "name": self.name, "code": self.code, "message": self.message}


@dataclass
class DomainError(Exception):
    """Base of everything the domain refuses.

    ``code`` is stable and documented in ``hal/problems.py``; ``detail`` says what to do; ``extra`` adds members to the
    answer's body (for example the conflicting state); ``link`` is the path of the resource the reader needs next.
    """

    detail: str
    code: str = ""
    errors: list[FieldError] = field(default_factory=list)
    extra: Mapping[str, Any] = field(default_factory=dict)
    link: str | None = None
    retry_after: int | None = None

    default_code: ClassVar[str] = "error"

    def __post_init__(self) -> None:
        self.code = self.code or self.default_code
        super().__init__(self.detail)


class Invalid(DomainError):
    """Input that can never be accepted as it is."""

    default_code = "invalid_input"


class Unauthenticated(DomainError):
    """The caller has not shown who they are, or what they showed is dead."""

    default_code = "unauthenticated"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    default_code = "forbidden"


class NotFound(DomainError):
    """There is no such thing, or none that this caller may know of."""

    default_code = "not_found"


class Conflict(DomainError):
    """The input is fine, but the present state stands against it."""

    default_code = "conflict"


class Gone(DomainError):
    """It was there and has been deleted."""

    default_code = "gone"


class PreconditionFailed(DomainError):
    """It changed since the caller last read it."""

    default_code = "precondition_failed"


class Unprocessable(DomainError):
    """Well-formed, but contradicts an earlier request."""

    default_code = "idempotency_key_reused"


class RateLimited(DomainError):
    """Too many attempts; ``retry_after`` says how many seconds to wait."""

    default_code = "rate_limited"


class Unavailable(DomainError):
    """Something that we depend on is away; trying again later is right."""

    default_code = "unavailable"
