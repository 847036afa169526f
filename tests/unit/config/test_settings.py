"""Settings: what is refused, that everything is told at once, and what an ini may hold that is not ours."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from marketplace_api.config.settings import Settings, SettingsError, strange_keys
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key

PRODUCTION = {
    "MARKETPLACE_ENVIRONMENT": "production",
    "MARKETPLACE_SECRET": "0123456789abcdef" * 2,
    "JWT_KEYS": f"one:{generate_seed()}",
    "DOCUMENT_KEYS": f"one:{generate_key()}",
    "DATABASE_URL": "postgresql://user:secretpw@db.example/market",
    "PUBLIC_URL": "https://market.example",
    "EMAIL_BACKEND": "smtp",
    "SMTP_URL": "smtps://user:secretpw@mail.example",
}


def _refused(environ: dict[str, str], ini: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(ini or {}, environ)
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert all(sentence in str(caught.value) for sentence in told)
    assert "secretpw" not in str(caught.value)
    return told


def test_the_environment_of_the_readme_is_accepted() -> None:
    assert Settings.load({}, PRODUCTION).production
    assert not Settings.load({}, {}).production


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MARKETPLACE_ENVIRONMENT", "test"),
        ("MARKETPLACE_SECRET", "short"),
        ("MARKETPLACE_SECRET", "a" * 40),
        ("MARKETPLACE_SECRET", ""),
        ("JWT_KEYS", ""),
        ("JWT_KEYS", "rubbish"),
        ("DOCUMENT_KEYS", ""),
        ("DOCUMENT_KEYS", "one:short"),
        ("DOCUMENT_KEYS", "one:" + "A" * 43),
        ("DOCUMENT_KEEP_DAYS", "-1"),
        ("NOTIFICATIONS_KEEP_DAYS", "0"),
        ("VIDEO_SECONDS", "0"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://user:secretpw@host/x"),
        ("DATABASE_URL", "postgresql://user:secretpw@host:port/x"),
        ("DATABASE_READ_URL", "rubbish"),
        ("DATABASE_POOL_SIZE", "0"),
        ("PUBLIC_URL", "http://market.example"),
        ("PUBLIC_URL", "market.example"),
        ("SMTP_URL", ""),
        ("SMTP_URL", "mail.example:587"),
        ("SMTP_URL", "smtp://user:secretpw@mail.example"),
        ("EMAIL_FROM", "nobody"),
        ("EMAIL_APPEALS", "nobody"),
        ("EMAIL_RESET_LINK", "https://market.example/reset"),
        ("REDIS_URL", "localhost:6379"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://app.example/"),
        ("STORAGE_BACKEND", "s3"),
        ("SENTRY_DSN", "rubbish"),
        ("LOG_LEVEL", "LOUD"),
        ("AUTH_BCRYPT_COST", "3"),
        ("AUTH_BCRYPT_COST", "banana"),
        ("RATE_LIMITS", "perhaps"),
        ("OUTBOUND_ALLOW_PRIVATE", "true"),
    ],
)
def test_each_mistake_is_one_finding_that_names_its_setting(name: str, value: str) -> None:
    (told,) = _refused({**PRODUCTION, name: value})
    assert (name if name != "STORAGE_BACKEND" else "S3_BUCKET") in told


def test_all_mistakes_are_told_at_once() -> None:
    told = _refused({"MARKETPLACE_ENVIRONMENT": "production", "AUTH_BCRYPT_COST": "banana", "EMAIL_BACKEND": "smtp"})
    names = (
        "AUTH_BCRYPT_COST",
        "MARKETPLACE_SECRET",
        "JWT_KEYS",
        "DOCUMENT_KEYS",
        "DATABASE_URL",
        "PUBLIC_URL",
        "SMTP_URL",
    )
    assert len(told) == len(names)
    assert all(any(name in sentence for sentence in told) for name in names)


def test_a_short_secret_is_told_its_length_and_how_to_make_one() -> None:
    (told,) = _refused({**PRODUCTION, "MARKETPLACE_SECRET": "short"})
    assert "has 5 characters and needs at least 32" in told
    assert "openssl rand -hex 32" in told


def test_a_key_that_looks_like_ours_is_named_with_the_nearest() -> None:
    told = {
        str(mistake) for mistake in strange_keys({"marketplace.secrt": "x", "http_prot": "1", "sqlalchemy.ur1": "x"})
    }
    assert len(told) == 3
    for name in ("marketplace.secret", "http_port", "sqlalchemy.url"):
        assert any(f"Did you mean {name}?" in sentence for sentence in told)
    (sentence,) = strange_keys({"limits.burst": "1"})
    assert "settings.md" in str(sentence)


def test_what_belongs_to_others_is_let_pass() -> None:
    others = (
        "here",
        "__file__",
        "http_port",
        "data_dir",
        "region",
        "pyramid.reload_templates",
        "tm.commit_veto",
        "retry.attempts",
        "sqlalchemy.echo",
        "sqlalchemy.pool_recycle",
        "sqlalchemy.pool_timeout",
        "redis.sessions.secret",
        "debugtoolbar.hosts",
        "use",
        "filter-with",
    )
    assert strange_keys(dict.fromkeys(others, "x")) == []


def test_production_refuses_unknown_keys_and_development_loads_them() -> None:
    (told,) = _refused(PRODUCTION, {"http.body_limt": "1"})
    assert "Did you mean http.body_limit?" in told
    assert not Settings.load({"http.body_limt": "1"}, {}).production


def test_a_development_start_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from marketplace_api import app, boot

    class Reached(Exception):
        """As far as the test goes."""

    def reach(*_: object) -> None:
        raise Reached

    monkeypatch.setattr(boot, "open_databases", reach)
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args: None)
    monkeypatch.delenv("MARKETPLACE_ENVIRONMENT", raising=False)
    with caplog.at_level(logging.WARNING), pytest.raises(Reached):
        app.make_app({"data_dir": str(tmp_path), "http.body_limt": "1"})
    assert "Did you mean http.body_limit?" in caplog.text
