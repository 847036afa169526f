"""What may come in about listings, their photos and videos, and bookmarks."""
