"""Measures how fast the service is, and against what: `python -m bench`. Nothing of the service imports it."""
