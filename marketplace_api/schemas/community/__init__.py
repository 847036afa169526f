"""Input of conversations and reviews."""
