"""What the tests of the files for deployment share: names that are known, and commands that there are."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import fields
from pathlib import Path

import click

from marketplace_api import serve
from marketplace_api.cli import main
from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
# What a release consists of. Tests and measurements are no part of it.
RELEASE = (
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "alembic",
    "deploy",
    "development.ini",
    "docs",
    "marketplace_api",
    "production.ini",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
)
SETTINGS = {field.metadata["env"]: field.metadata for field in fields(Settings)}
SECRETS = {name for name, about in SETTINGS.items() if about["secret"]}
# Read by the programs beside the settings, and by Python itself.
VARIABLES = {
    *SETTINGS,
    "PORT",
    "MARKETPLACE_INI",
    serve.HOST_VARIABLE,
    serve.METRICS_VARIABLE,
    "PATH",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
}


def check_command(words: list[str]) -> None:
    """It is one of our two programs, with an ini that is there and a command that there is."""
    program, rest = Path(words[0]).name, list(words[1:])
    assert program in ("pserve", "marketplace-admin"), program
    if program == "pserve":
        assert [Path(word).name for word in rest] == ["production.ini"]
        return
    command: click.Command = main
    while rest:
        word = rest.pop(0)
        if word == "--ini":
            assert Path(rest.pop(0)).name == "production.ini"
        elif word == "--port":
            rest.pop(0)
        elif not word.startswith("-"):
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"there is no command {word}"
            command = found
    assert not isinstance(command, click.Group)


def copy_release(folder: Path) -> Path:
    """The tree as a release has it, to build from: builds leave files behind, and none of them belongs here."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".env")
    for name in RELEASE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def production_environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    """What production needs, for programs of this very code."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES - {"PATH"}}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
        "JWT_KEYS": f"one:{generate_seed()}",
        "DOCUMENT_KEYS": f"one:{generate_key()}",
        "PUBLIC_URL": "https://market.example",
        **more,
    }
