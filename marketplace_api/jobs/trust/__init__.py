"""Jobs of verifications, reports, moderation."""
