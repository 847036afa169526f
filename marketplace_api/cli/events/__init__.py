"""`marketplace-admin events`."""
