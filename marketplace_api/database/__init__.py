"""The database from Python: base, engines, prepared statements, row security, migrations, the embedded server."""
