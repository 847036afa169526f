"""Accounts and API keys in the tree."""
