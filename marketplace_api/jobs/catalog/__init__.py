"""Jobs that follow from changes of listings."""
