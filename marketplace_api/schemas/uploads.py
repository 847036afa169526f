"""What an operation that takes a file says of it, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MULTIPART = "multipart/form-data"
FILE = "file"
"""The name of the form's part that is the file."""


@dataclass(frozen=True, slots=True, eq=False)
class UploadForm:
    """Declares that an operation takes a form (RFC 7578) with one file; its other fields are the operation's body.

    ``accepts`` are the media types that can be used, told to clients: what a file really is, its reader finds out.
    ``limit`` names the setting with the largest size in bytes. A file that is taken ``in_memory`` never touches a disk.
    ``megapixels`` tells what it costs to decode the file at the beginning of a stream, which counts into a rate limit.
    """

    accepts: tuple[str, ...]
    limit: str
    in_memory: bool = False
    title: str = "File"
    description: str = ""
    megapixels: Callable[[IO[bytes]], int] | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came. ``stream`` stands at its beginning, can seek, and ends with the request.

    ``filename`` is for showing only and holds no folders; ``declared_type`` is what the sender says it is. ``fields``
    are the form's other fields, validated.
    """

    filename: str
    declared_type: str
    stream: IO[bytes]
    size: int
    fields: Mapping[str, Any]
