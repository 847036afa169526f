"""Tables of listings with photos and videos, of categories and bookmarks, and what search keeps beside them."""
