"""Verbs of accounts, sessions, API keys."""
