"""Tables of health, counters, reporting, demo data."""
