"""Moderation: what is done to many things at once, and undone."""
