"""The same endpoints as their users would write them, and well: FastAPI and Django REST framework, on our tables.

They answer with our JSON, so that both sides carry the same bytes. They do less: no rate limits, permissions, ETags,
content negotiation or request ids. Searching for a word runs the statements that our planner chose, recorded before
the run (BENCH_QUERIES names the file), so the peers get the plan and the total for nothing.
"""
