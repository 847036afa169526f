"""Notifications and webhooks: who is told of what, when, and by which channel."""
