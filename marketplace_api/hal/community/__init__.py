"""Representations of conversations and reviews."""
