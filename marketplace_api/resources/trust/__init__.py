"""Contexts of the tree of verifications, reports, moderation."""
