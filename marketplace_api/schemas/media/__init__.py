"""Input of stored files."""
