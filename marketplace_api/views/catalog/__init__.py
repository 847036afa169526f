"""Verbs of listings, categories, search, bookmarks."""
