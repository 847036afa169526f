"""`marketplace-admin events`: the event log, read and exported."""
