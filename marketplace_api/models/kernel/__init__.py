"""Tables of what every context stands on."""
