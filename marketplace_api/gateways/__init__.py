"""The outside world: a Protocol, a harmless local implementation and a real one each, chosen by a setting."""
