"""`marketplace-admin up`: everything for development, and the supervisor of its processes."""
