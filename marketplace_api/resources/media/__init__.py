"""Stored files in the tree."""
