"""Jobs of conversations and reviews."""
