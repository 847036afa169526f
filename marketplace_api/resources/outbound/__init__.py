"""Contexts of the tree of notifications and the ways they leave."""
