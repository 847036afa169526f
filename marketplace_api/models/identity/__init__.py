"""Tables of accounts, sessions, API keys."""
