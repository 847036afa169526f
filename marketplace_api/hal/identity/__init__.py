"""Accounts, their pictures and API keys as they go out."""
