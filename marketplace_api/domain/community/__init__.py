"""What people say to and of each other: conversations and reviews."""
