"""Settings: what can be set, how values are read, and what is wrong with them."""
