"""Verifications, reports and the moderators' queues in the tree."""
