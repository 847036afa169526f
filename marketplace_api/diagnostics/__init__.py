"""What is found out about a running database: server, tables, queue, event log, faults of the schema."""
