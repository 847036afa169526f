"""What a look at a running database tells: server, tables, queue, event log, faults of the schema."""
