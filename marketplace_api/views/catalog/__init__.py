"""Operations on listings, their photos and videos, and bookmarks."""
