"""Conversations, messages and reviews as they go out."""
