"""`marketplace-admin db`."""
