"""Behaviour of verifications, reports, moderation."""
