"""Verification of accounts: sending a document, deciding about it, opening and keeping documents, expiry."""
