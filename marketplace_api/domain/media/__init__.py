"""Stored files: how rows and objects are kept together."""
