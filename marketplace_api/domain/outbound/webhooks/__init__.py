"""Webhooks: who is told of events, what is due, how it is signed, and when an endpoint is given up."""
