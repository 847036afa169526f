"""Whom and what to trust: verifications, reports and moderation."""
