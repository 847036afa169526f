"""Backups, as an operator makes and restores them."""
