"""Contexts of the tree of listings, categories, search, bookmarks."""
