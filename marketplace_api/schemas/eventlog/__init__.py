"""Input of the audit log, the feed, tickets for streams."""
