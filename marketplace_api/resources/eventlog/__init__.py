"""The event log in the tree: audit, feed and the stream with its tickets."""
