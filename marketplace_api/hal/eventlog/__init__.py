"""The event log as it goes out, and tickets for streams."""
