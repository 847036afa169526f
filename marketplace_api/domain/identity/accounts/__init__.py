"""Accounts: registration, sessions, profiles, recovery and the end of an account. Import the modules."""
