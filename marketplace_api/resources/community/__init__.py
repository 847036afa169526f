"""Contexts of the tree of conversations and reviews."""
