"""Tables of verifications, reports, moderation."""
