"""Listings: reading, writing and the workflow of their status."""
