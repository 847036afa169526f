"""What goes out: representations, the operations that they offer, and problem details."""
