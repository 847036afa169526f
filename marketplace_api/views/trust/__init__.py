"""Verbs of verifications, reports, moderation."""
