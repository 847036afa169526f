"""How people deal with each other, measured: messages, inboxes, threads, bookmarks, reviews; by callers who are known."""
