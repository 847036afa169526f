"""What goes wrong when a database is inspected, told without the classes of the driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


class InspectionError(Exception):
    """PostgreSQL cannot be reached or does not answer; the message is the first line of what it or the driver says."""


class InspectionDenied(InspectionError):
    """The role may not see what it asked for."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of psycopg inside of a ``with`` block into :class:`InspectionError`."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise InspectionDenied(_first_line(error)) from error
    except psycopg.Error as error:
        raise InspectionError(_first_line(error)) from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition(os.linesep)[0] or type(error).__name__
