"""Verifications, reports and the moderators' queues as they go out."""
