"""Tables of verifications, reports and batches of moderation."""
