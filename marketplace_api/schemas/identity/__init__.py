"""Input of accounts, sessions, API keys."""
