"""Verbs of conversations and reviews."""
