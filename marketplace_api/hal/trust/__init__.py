"""Representations of verifications, reports, moderation."""
