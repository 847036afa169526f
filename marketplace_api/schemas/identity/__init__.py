"""What may come in about accounts and API keys."""
