"""What `marketplace-admin doctor` looks at, by subject: each module turns facts into findings."""
