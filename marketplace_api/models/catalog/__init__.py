"""Tables of listings, categories, search, bookmarks."""
