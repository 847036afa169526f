"""Jobs that notify people of messages and reviews."""
