"""Behaviour: plain functions that take a session first. No request, no HTTP, no Pyramid."""
