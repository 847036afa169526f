"""`marketplace-admin users`: accounts, and judging them."""
