"""The worker process and what it does: queue, handlers table (event -> handlers), schedule."""
