"""Tables of conversations and reviews."""
