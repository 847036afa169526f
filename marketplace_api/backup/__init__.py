"""Backups: one file that holds the database, a manifest and, if wanted, the stored files; made, verified, restored.

What a backup is made of lies in ``archive`` (the file), ``manifest``, ``tables`` and ``files`` (what is counted and held
against each other); ``dump``, ``restore`` and ``verify`` are what the commands call. PostgreSQL's own programs do the work.
"""
