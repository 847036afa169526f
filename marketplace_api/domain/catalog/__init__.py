"""Listings with photos and videos, categories, search and bookmarks."""
