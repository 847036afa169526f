"""What may come in: Colander schemas, one file per noun, on the strict types of ``types.py``."""
