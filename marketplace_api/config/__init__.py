"""Settings: what can be set, how it is parsed, and what is wrong with it."""
