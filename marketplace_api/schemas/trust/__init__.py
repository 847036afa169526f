"""What may come in about verifications and reports."""
