"""Tables of accounts: people, their sessions, tokens and pictures, and API keys."""
