"""`marketplace-admin listings`."""
