"""`marketplace-admin moderation`."""
