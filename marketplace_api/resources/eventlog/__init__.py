"""Contexts of the tree of the audit log, the feed, tickets for streams."""
