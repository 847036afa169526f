"""Verbs of export, erasure and overview of personal data."""
