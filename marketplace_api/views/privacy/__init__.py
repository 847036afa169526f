"""The operation by which people take their data out."""
