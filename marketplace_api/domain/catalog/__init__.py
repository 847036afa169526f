"""Behaviour of listings, categories, search, bookmarks."""
