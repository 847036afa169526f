"""Jobs that delete stored files which are of no use any more."""
