"""Jobs that finish the erasure of an account."""
