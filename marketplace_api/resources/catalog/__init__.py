"""Listings in the tree, with their photos and videos, and bookmarks."""
