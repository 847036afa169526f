"""Tables that every context builds on: the event log, and answers kept for retries."""
