"""Accounts and what proves them: registration, sessions, passwords, recovery and API keys."""
