"""Representations of accounts, sessions, API keys."""
