"""Conversations, messages, blocks and reviews in the tree."""
