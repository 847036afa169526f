"""Behaviour of health, counters, reporting, demo data."""
