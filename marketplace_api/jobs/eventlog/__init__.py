"""Jobs that make and drop the months of the event log."""
