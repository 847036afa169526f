"""Representations of listings, categories, search, bookmarks."""
