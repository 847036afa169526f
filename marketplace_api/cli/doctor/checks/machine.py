"""This machine: folders, space on their disks, the port, and who answers there."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marketplace_api import boot
from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem, warning
from marketplace_api.cli.doctor.checks.folders import existing, in_the_way
from marketplace_api.config.parsing import LOOPBACK
from marketplace_api.diagnostics.errors import InspectionError
from marketplace_api.diagnostics.inspector import inspect
from marketplace_api.version import VERSION

LEAST_FREE_BYTES = 500_000_000
ANSWER_SECONDS = 3
MOST_READ = 10_000
# A proxy of the environment has no business with our own machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def folders(installation: Installation) -> Iterator[Finding]:
    """Those of the local gateways."""
    settings = installation.settings
    yield _folder("data folder", settings.data_dir)
    if settings.storage_backend == "local":
        yield _folder("files", settings.data_dir / "files")


def _folder(check: str, folder: Path) -> Finding:
    """Whether we may write there, or may make it, and whether there is room."""
    if told := in_the_way(folder):
        return problem(check, *told)
    there = existing(folder)
    facts = os.statvfs(there)
    free = facts.f_bavail * facts.f_frsize
    if free < LEAST_FREE_BYTES:
        remedy = "Free some space, enlarge the disk, or set DATA_DIR to a larger one."
        return warning(check, f"{folder}: only {free // 1_000_000} MB are free", remedy)
    made = "" if there == folder else ", which the start will make"
    return ok(check, f"{folder}{made}, {free // 1_000_000_000} GB free")


def port(installation: Installation) -> Iterator[Finding]:
    """Who answers where the API listens, or would."""
    from marketplace_api.cli.up.commands import address

    host, number = address(installation.server)
    yield _listener(installation, "port", "the API", host, number, "PORT or http_port in the ini")


def realtime(installation: Installation) -> Iterator[Finding]:
    """The same of the realtime process."""
    from marketplace_api.cli.up.commands import address, realtime_port

    host, port = address(installation.server)
    number = realtime_port(installation.server, installation.settings, port)
    yield _listener(
        installation, "realtime", "the realtime process", host, number, "REALTIME_PORT or realtime.port in the ini"
    )


def _listener(installation: Installation, check: str, who: str, host: str, number: int, choice: str) -> Finding:
    place = f"{host}:{number}"
    version, refusal = _version(f"http://{place}")
    if isinstance(refusal, ConnectionRefusedError):
        return ok(check, f"{place} is free: {who} is not running here")
    if version is None:
        remedy = f"Stop it (ss -ltnp 'sport = :{number}' names it), or choose another port: {choice}."
        return problem(check, f"{place} is taken by another program", remedy)
    if version != VERSION:
        told = f"version {version} answers at {place}, but this is {VERSION}"
        return warning(check, told, f"Restart {who}, so that it runs the code that is installed.")
    return _whose(installation, check, who, place, choice)


def _whose(installation: Installation, check: str, who: str, place: str, choice: str) -> Finding:
    """Whether what answers works on our database with our secret; what does not tell may be ours."""
    answers = _get_json(f"http://{place}/readyz").get("installation")
    try:
        url = boot.find_database(installation.settings)
        ours = None
        if url is not None:
            with inspect(url) as inspector:
                ours = inspector.installation(installation.settings.secret)
    except (InspectionError, OSError):
        return ok(check, f"{who} answers at {place}")  # what is wrong with the database is told there
    if not isinstance(answers, str) or (answers == ours):
        return ok(check, f"{who} answers at {place}")
    number = place.rpartition(":")[2]
    return problem(
        check,
        f"{who} that answers at {place} is of another installation: its database or its MARKETPLACE_SECRET is another",
        "Run this with the environment of that service (DATABASE_URL, DATA_DIR, MARKETPLACE_SECRET), or stop it "
        f"(ss -ltnp 'sport = :{number}' names it), or choose another port: {choice}.",
    )


def _get_json(url: str) -> dict[str, Any]:
    """The JSON object at ``url`` of our own API; empty if it gives none."""
    with suppress(OSError, ValueError, HTTPException), _OPENER.open(url, timeout=ANSWER_SECONDS) as answer:
        found = json.loads(answer.read(MOST_READ))
        return found if isinstance(found, dict) else {}
    return {}


def public_address(installation: Installation) -> Iterator[Finding]:
    """Whether what mails link to is us, as far as this machine can see."""
    url = installation.settings.public_url.rstrip("/")
    if not installation.settings.production or urlsplit(url).hostname in LOOPBACK:
        return
    version, refusal = _version(url)
    if version is not None:
        yield ok("proxy", f"{url} leads to version {version}")
    elif _is_about_certificates(refusal):
        told = f"{url} has a certificate that cannot be trusted"
        yield warning("proxy", told, "Renew it, or install the whole chain at the proxy.")
    elif refusal is not None:
        told = f"{url} does not answer this machine ({type(refusal).__name__})"
        remedy = f"Check DNS, proxy and firewall from outside: curl -i {url}/healthz; or mend PUBLIC_URL."
        yield warning("proxy", told, remedy)
    else:
        told = f"{url} is answered by something that is not this API"
        yield warning("proxy", told, "Let the proxy pass all paths to the API, or mend PUBLIC_URL.")


def _version(url: str) -> tuple[str | None, BaseException | None]:
    """The version of our API at ``url``; or ``None``, and what was in the way if nobody answered."""
    try:
        with _OPENER.open(f"{url}/version", timeout=ANSWER_SECONDS) as answer:
            found = json.loads(answer.read(MOST_READ))
        return (str(found["version"]) if isinstance(found, dict) and "version" in found else None), None
    except urllib.error.HTTPError as error:
        error.close()
        return None, None
    except urllib.error.URLError as error:
        return None, error.reason if isinstance(error.reason, BaseException) else error
    except (ValueError, HTTPException):
        return None, None
    except OSError as error:
        return None, error


def _is_about_certificates(error: BaseException | None) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)
