"""`marketplace-admin db`: migrations, demo data, a prompt, and backups."""
