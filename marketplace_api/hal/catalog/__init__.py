"""Listings with photos and videos, and bookmarks, as they go out."""
