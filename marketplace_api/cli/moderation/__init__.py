"""`marketplace-admin moderation`: batches and reports."""
