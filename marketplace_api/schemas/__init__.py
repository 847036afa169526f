"""What may come in: Colander schemas, one file per domain, on the strict types of ``types.py``."""
