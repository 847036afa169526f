"""The event log as it is read: audit, feed and months; tickets for streams."""
