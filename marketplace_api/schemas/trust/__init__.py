"""Input of verifications, reports, moderation."""
