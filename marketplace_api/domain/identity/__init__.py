"""Behaviour of accounts, sessions, API keys."""
