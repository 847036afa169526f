"""`marketplace-admin doctor`: the command, and its checks by subject."""
