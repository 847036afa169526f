"""How a run ends: the exit codes, what each means, and which of them an error becomes. The same rule for every command."""

from __future__ import annotations

import rich_click as click

DONE, FAILED, USAGE, NOT_FOUND, CONFLICT, PARTLY_DONE = range(6)

MEANINGS: dict[int, str] = {
    DONE: "Done.",
    FAILED: "It could not be done now, or whoever acts may not; of several things, none could.",
    USAGE: "What was typed can never be right as it stands, or a question needs --yes; nothing was done.",
    NOT_FOUND: "There is no such thing.",
    CONFLICT: "It is there, but its state stands against it: done already, deleted, decided, or in the way (a file).",
    PARTLY_DONE: "Of several things some were done; each of the others has a line on standard error.",
}
"""What the documentation and `errors --exit-codes` say of each."""

_BY_STATUS = {400: USAGE, 404: NOT_FOUND, 409: CONFLICT, 410: CONFLICT, 412: CONFLICT, 422: USAGE}


class Refused(click.ClickException):
    """A sentence that ends the run as a mistake of usage, without the frame and the usage of a mistyped option."""

    exit_code = USAGE


class AlreadyExists(Refused):
    """The same, where something is there that must not be: a conflict."""

    exit_code = CONFLICT


def of_status(status: int) -> int:
    """The exit code for what the API answers with this HTTP status."""
    return DONE if status < 400 else _BY_STATUS.get(status, FAILED)


_STATES: dict[str, str] = {
    "40": "Somebody else changed the same things at the same moment ({}): run it again.",
    "55": "Somebody else holds what this needs ({}): run it again later.",
    "53": "The database cannot go on ({}): give it room, disk or connections, and run it again.",
    "25": "The database takes no changes ({}): DATABASE_URL has to name the primary.",
    "08": "The database went away ({}): see its log, and run it again when it is back.",
    "57": "The database ended what it was doing ({}): see its log, and run it again when it is back.",
}


def around_us(error: Exception) -> str | None:
    """A sentence about what the database or the machine did to a command; ``None`` where the mistake may be ours.

    A pipe that was closed is not told of: who reads no more knows.
    """
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().partition("\n")[0]
    if isinstance(cause, OSError):
        is_told = cause.strerror and not isinstance(cause, BrokenPipeError)
        return f"Error: {': '.join(filter(None, (cause.filename, cause.strerror)))}." if is_told else None
    state = getattr(cause, "sqlstate", None)
    if state is None and type(cause).__name__ == "OperationalError":
        state = "08"  # the connection broke before the server could say why
    sentence = _STATES.get(state[:2]) if state else None
    return sentence and f"Error: {sentence.format(said)} What was committed before stays as it is."


def of_error(error: Exception) -> int | None:
    """The exit code of an error that its sentence explains; ``None`` for a mistake of ours, which needs a traceback."""
    from marketplace_api.boot import BootError
    from marketplace_api.config.settings import SettingsError
    from marketplace_api.database.embedded_postgres import EmbeddedPostgresError
    from marketplace_api.errors import Conflict, DomainError, Gone, Invalid, NotFound, PreconditionFailed

    if isinstance(error, Invalid):
        return USAGE
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, Conflict | Gone | PreconditionFailed):
        return CONFLICT
    if isinstance(error, DomainError | SettingsError | BootError | EmbeddedPostgresError):
        return FAILED
    return None
