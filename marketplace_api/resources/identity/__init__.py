"""Contexts of the tree of accounts, sessions, API keys."""
