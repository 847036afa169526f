"""The version of the service: this line is the only place. ``setup.cfg`` reads it, and everything that tells it."""

from __future__ import annotations

VERSION = "0.2.0"
"""By semantic versioning; the newest entry of ``CHANGELOG.md`` is the same."""
