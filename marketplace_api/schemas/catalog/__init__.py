"""Input of listings, categories, search, bookmarks."""
