"""Verbs of health, counters, reporting, demo data."""
