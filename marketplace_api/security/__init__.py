"""Who calls, and what they may do: identity, principals, permissions, policy."""
