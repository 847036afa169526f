"""Behaviour of what every context stands on."""
