"""How soon what happens reaches those who are connected, measured: one realtime process, thousands of clients."""
