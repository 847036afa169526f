"""What the event log may be asked for."""
