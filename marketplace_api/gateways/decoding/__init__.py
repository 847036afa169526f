"""Reading files that strangers sent, in processes of their own: the pool here, the work in its children."""
