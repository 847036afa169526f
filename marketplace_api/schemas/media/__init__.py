"""What may come in where files are fetched."""
