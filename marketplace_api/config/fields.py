"""One setting: how it is declared, what people know it as, and how its text becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field
from pathlib import Path
from typing import Any

from marketplace_api.config.parsing import SettingsError


def setting(key: str, env: str, default: Any, doc: str, *, secret: bool = False) -> Any:
    """A field of the settings: its ini key, environment variable, default and one line of documentation."""
    return field(default=default, metadata={"key": key, "env": env, "doc": doc, "secret": secret})


def name_of(f: Field[Any]) -> str:
    """A setting as people know it: its environment variable and its ini key."""
    return f"{f.metadata['env']} ({f.metadata['key']})"


def convert(f: Field[Any], raw: str) -> Any:
    """The value of a setting from its text, by the type of its default; raises :class:`SettingsError`."""
    default = f.default if f.default is not MISSING else ""
    try:
        return _CONVERTERS[type(default)](raw)
    except (ValueError, KeyError) as error:
        shown = "" if f.metadata["secret"] else f" (it is {raw!r})"
        raise SettingsError(f"{name_of(f)} must be {_EXPECTED[type(default)]}{shown}.") from error


def _boolean(raw: str) -> bool:
    return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}[
        raw.lower()
    ]


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


_CONVERTERS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    bool: _boolean,
    tuple: lambda raw: tuple(raw.split()),
    type(Path()): _path,
}
_EXPECTED = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    tuple: "words separated by spaces",
    type(Path()): "a folder",
}
