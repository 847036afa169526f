"""Jobs of listings, categories, search, bookmarks."""
