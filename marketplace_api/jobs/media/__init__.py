"""Jobs of stored files."""
