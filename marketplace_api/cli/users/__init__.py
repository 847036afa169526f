"""`marketplace-admin users`."""
