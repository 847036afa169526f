"""What may come in about conversations, messages and reviews."""
