"""Behaviour of stored files."""
