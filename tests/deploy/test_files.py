"""The files in deploy/ say what is true: paths, commands, ports, users, variables and versions."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from marketplace_api import app, boot, serve
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key
from marketplace_api.views.service import SERVICES
from tests.deploy.world import DEPLOY, ROOT, SECRETS, VARIABLES, check_command
from tests.support import postgres

UNITS = sorted((DEPLOY / "systemd").iterdir())
CONDITIONS = {"service_healthy", "service_completed_successfully"}


def _ini(name: str = "production.ini") -> ConfigParser:
    ini = ConfigParser()
    ini.read_string((ROOT / name).read_text().replace("%(here)s", str(ROOT)))
    return ini


# The image.


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_everything_that_is_copied_is_there_and_reaches_the_builder(instructions: list[tuple[str, str]]) -> None:
    ignored, *passed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    copied = [
        path for word, rest in instructions if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]
    ]
    assert {"marketplace_api", "alembic", "setup.py", "production.ini"} <= set(copied)
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, allowed.removeprefix("!")) for allowed in passed), f"{path} does not reach the builder"


def test_the_image_runs_as_nobody_special_and_listens_where_the_ini_says(instructions: list[tuple[str, str]]) -> None:
    last = instructions[max(place for place, (word, _) in enumerate(instructions) if word == "FROM") :]
    given = dict(last)
    user = given["USER"].partition(":")[0]
    assert user.isdigit() and int(user) > 0
    environment = dict(pair.split("=", 1) for pair in shlex.split(given["ENV"]))
    assert set(environment) <= VARIABLES
    assert not {*environment} & SECRETS, "a secret lies in a layer"
    assert not [rest for word, rest in instructions if word == "ARG"]
    assert given["EXPOSE"] == environment["PORT"] == _ini()["DEFAULT"]["http_port"]
    assert given["VOLUME"] == environment["DATA_DIR"] == _ini()["DEFAULT"]["data_dir"]
    check_command(json.loads(given["CMD"]))
    assert "/healthz" in given["HEALTHCHECK"] and 'environ["PORT"]' in given["HEALTHCHECK"].replace("\\", "")
    assert environment["MARKETPLACE_INI"] == f"{given['WORKDIR']}/production.ini"


def test_every_dependency_has_a_version_that_setup_cfg_allows() -> None:
    lines = [line for line in (DEPLOY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    setup = _ini("setup.cfg")
    wanted = "\n".join(
        [
            setup["options"]["install_requires"],
            setup["options.extras_require"]["s3"],
            setup["options.extras_require"]["video"],
        ]
    )
    for line in filter(None, (line.strip() for line in wanted.splitlines())):
        if line.startswith("#"):
            continue
        needed = Requirement(line)
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        assert name in pins, f"{name} has no version in constraints.txt"
        assert needed.specifier.contains(Version(pins[name])), f"{name} {pins[name]} is not {needed.specifier}"


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_linter_has_nothing_to_say() -> None:
    subprocess.run(["hadolint", str(DEPLOY / "Dockerfile")], check=True)


# Compose.


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_services_wait_for_what_they_need(compose: Any) -> None:
    services = compose["services"]
    assert {"migrate", "api", "worker", "realtime", "database", "cache", "files", "mail"} == set(services)
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] in CONDITIONS
            if how["condition"] == "service_healthy":
                assert services[needed]["healthcheck"]["test"], f"{name} waits for the health of {needed}"
        if service["image"] == "marketplace-api":
            check_command(service["command"])
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert services["api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["restart"] == "no"
    build = services["migrate"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    ours = {path for path in mounted if path.startswith("./")}
    assert mounted - ours == set(compose["volumes"])
    assert all((DEPLOY / path).is_file() for path in ours)


def test_the_services_never_see_the_owner(compose: Any) -> None:
    told = {
        name: "DATABASE_OWNER_URL" in service.get("environment", {}) for name, service in compose["services"].items()
    }
    assert told == {**dict.fromkeys(told, False), "migrate": True}
    asked = set(re.findall(r"//(\w+):\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked == {("marketplace_web", "APPLICATION_PASSWORD"), ("marketplace", "POSTGRES_PASSWORD")}


@pytest.mark.usefixtures("template_database")  # whose migrations have made the one role already
def test_the_database_gets_the_role_that_the_application_logs_in_as(postgres_server: EmbeddedPostgres) -> None:
    owner_url = postgres_server.ensure_database("with_roles")
    owner = sa.make_url(owner_url)
    about = {
        "PATH": f"{postgres_server.bin_dir}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": str(owner.host),
        "PGPORT": str(owner.port),
        "PGPASSWORD": str(owner.password),
        "POSTGRES_USER": str(owner.username),
        "POSTGRES_DB": "with_roles",
        "APPLICATION_PASSWORD": 'it\'s "quoted" 100%',
    }
    script = (DEPLOY / "database-roles.sh").read_text().replace("CREATE ROLE marketplace_app NOLOGIN;", "")
    with psycopg.connect(owner_url, autocommit=True) as connection:
        subprocess.run(["sh", "-c", script], env=about, check=True)
        try:
            migrations.upgrade(owner_url)
            url = owner.set(username="marketplace_web", password=about["APPLICATION_PASSWORD"])
            settings = Settings(database_url=url.render_as_string(hide_password=False), database_owner_url=owner_url)
            facts = boot.login_facts(settings)
            assert facts is not None and facts.login == "marketplace_web"
            assert facts.is_strict and facts.may_become and not facts.unreadable
        finally:
            connection.execute("DROP ROLE marketplace_web")
    postgres.drop_database(postgres_server, "with_roles")


def test_production_starts_with_what_compose_gives(compose: Any) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    offered = set(re.findall(r"^([A-Z0-9_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    assert asked == offered
    values = {
        **dict.fromkeys(asked, "a-value-somebody-filled-in"),
        "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
        "JWT_KEYS": f"one:{generate_seed()}",
        "DOCUMENT_KEYS": f"one:{generate_key()}",
        "PUBLIC_URL": "https://market.example",
    }
    given = compose["services"]["api"]["environment"]
    assert set(given) <= VARIABLES
    filled = {name: re.sub(r"\$\{(\w+)[^}]*\}", lambda m: values[m[1]], value) for name, value in given.items()}
    settings = Settings.load(dict(_ini()["app:main"]), filled)
    assert settings.production and settings.storage_backend == "s3" and settings.email_backend == "smtp"
    for name, url in (
        ("database", settings.database_url),
        ("cache", settings.redis_url),
        ("files", settings.storage_endpoint),
    ):
        assert re.search(rf"[/@]{name}:", url), f"{url} names no service"
    assert compose["services"]["database"]["image"] == "postgres:18"


# systemd, Procfile, proxy.


@pytest.mark.parametrize("path", [path for path in UNITS if "backup" not in path.name], ids=lambda path: path.name)
def test_units_start_what_there_is(path: Path) -> None:
    [command] = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)
    check_command(shlex.split(command))
    variables = " ".join(re.findall(r"^Environment=(.*)$", path.read_text(), re.MULTILINE))
    assert {pair.partition("=")[0] for pair in variables.split()} <= VARIABLES


def test_the_backup_unit_ends_well_only_when_the_new_backup_was_verified(tmp_path: Path) -> None:
    """Then alone systemd goes on to ExecStartPost, which deletes the old ones."""
    text = (DEPLOY / "systemd" / "marketplace-backup.service").read_text()
    [(shell, option, script)] = [shlex.split(line) for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)]
    assert re.search(r"^ExecStartPost=/usr/bin/find .* -delete$", text, re.MULTILINE)
    program = tmp_path / "bin" / "marketplace-admin"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" >> "$0.log"\ncase "$*" in *"$BROKEN"*) exit 1;; esac\n')
    program.chmod(0o755)
    script = script.replace("$$", "$").replace("%%", "%").replace("/opt/marketplace", str(tmp_path))
    codes = {
        broken: subprocess.run([shell, option, script], env={**os.environ, "BROKEN": broken}, check=False).returncode
        for broken in ("db verify", "db backup", "nothing")
    }
    assert codes == {"db verify": 1, "db backup": 1, "nothing": 0}
    said = (tmp_path / "bin" / "marketplace-admin.log").read_text().splitlines()
    assert [line.split()[-3 if line.endswith("files") else -2] for line in said] == [
        "backup",
        "verify",
        "backup",
        "backup",
        "verify",
    ]
    assert said[3].split()[2] == said[4].split()[3]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """As they are, but for the programs, which live where they are installed."""
    for path in UNITS:
        name = path.name.replace("@.", "@1.")
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.M))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    mine = [line for line in told.stderr.splitlines() if "marketplace" in line and "/bin/true" not in line]
    assert (told.returncode, mine) == (0, [])


def test_procfile_starts_what_there_is() -> None:
    lines = dict(line.split(": ", 1) for line in (DEPLOY / "Procfile").read_text().splitlines())
    assert set(lines) == {"release", "api", "worker", "realtime"}
    for line in lines.values():
        check_command(shlex.split(line))


def test_the_proxy_is_the_one_that_is_trusted() -> None:
    text = (DEPLOY / "Caddyfile").read_text()
    assert text.count("{") == text.count("}")
    assert f"reverse_proxy 127.0.0.1:{_ini()['DEFAULT']['http_port']}" in text
    assert f"reverse_proxy @open 127.0.0.1:{Settings().realtime_port}" in text
    assert text.count("X-Forwarded-For {remote_host}") == 2 and _ini().getint("app:main", "http.trusted_proxies") == 1
    [most] = re.findall(r"max_size (\d+)MB", text)
    largest = max(field.default for field in Settings.__dataclass_fields__.values() if field.name.endswith("_limit"))
    assert int(most) * 1_000_000 > largest
    assert re.search(r"@inside path .*/metrics", text) and "respond @inside 404" in text


def test_the_proxies_wait_for_nobody_and_outlast_no_connection() -> None:
    """Times fit together: the checks of a proxy see an instance go, and none keeps a connection that the service ends."""
    caddy, settings = (DEPLOY / "Caddyfile").read_text(), Settings()
    interval, timeout = (
        int(re.findall(rf"{name} (\d+)s", caddy.partition("reverse_proxy 127.0.0.1:6543")[2])[0])
        for name in ("health_interval", "health_timeout")
    )
    assert interval + timeout < _ini().getint("app:main", "http.drain_seconds")
    [kept] = re.findall(r"\tkeepalive (\d+)s", caddy)
    assert int(kept) < settings.header_timeout
    [body] = re.findall(r"read_body (\d+)s", caddy)
    assert int(body) >= settings.body_timeout and "read_header" in caddy
    unit = (DEPLOY / "systemd" / "marketplace-api.service").read_text()
    [stop] = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert int(stop) > _ini().getint("app:main", "http.drain_seconds") + serve.STOP_SECONDS
    [grace] = re.findall(
        r"(\d+)s", yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["api"]["stop_grace_period"]
    )
    assert int(grace) > _ini().getint("app:main", "http.drain_seconds") + serve.STOP_SECONDS


def _uploads() -> list[str]:
    """The address of every operation that takes a file."""
    assert app.VIEWS  # which declare them
    found = [
        service.pattern.replace("{listing_id}", "42")
        for service in SERVICES
        for operation in service.declared
        if operation.upload is not None
    ]
    assert len(found) >= 4
    return found


def test_nginx_is_the_same_proxy() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert text.count("{") == text.count("}")
    assert f"server 127.0.0.1:{_ini()['DEFAULT']['http_port']} " in text
    assert f"server 127.0.0.1:{Settings().realtime_port} " in text
    assert text.count("X-Forwarded-For $remote_addr") == 2 and "$proxy_add_x_forwarded_for" not in text
    for path in ("/metrics", "/readyz"):
        assert re.search(rf"location = {path} \{{\s+return 404;", text)
    general, uploads = (int(most) * 1024 * 1024 for most in re.findall(r"client_max_body_size (\d+)m", text))
    [memory] = re.findall(r"client_body_buffer_size (\d+)m", text)
    assert Settings().body_limit <= general == int(memory) * 1024 * 1024, "what nginx keeps, it keeps in memory"
    largest = max(field.default for field in Settings.__dataclass_fields__.values() if field.name.endswith("_limit"))
    assert uploads > largest
    [pattern] = re.findall(r"location ~ (\S+) \{\s+# A little above", text)
    for path in _uploads():
        assert re.search(pattern, path), path
        assert re.search(pattern, path.replace("/api/", "/api/v1/", 1)), path
    assert not re.search(pattern, "/api/auth/login")
    for name in ("client_header_timeout", "client_body_timeout", "send_timeout", "proxy_next_upstream"):
        assert f"{name} " in text
