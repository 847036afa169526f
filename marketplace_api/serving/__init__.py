"""The way of a request before and after the application: bodies arrive here, then a thread works on the whole of it."""
