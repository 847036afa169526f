"""The operation that fetches stored files."""
