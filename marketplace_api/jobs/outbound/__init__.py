"""Jobs of notifications and the ways they leave."""
