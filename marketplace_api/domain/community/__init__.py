"""Behaviour of conversations and reviews."""
