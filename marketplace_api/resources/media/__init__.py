"""Contexts of the tree of stored files."""
