"""Reports: who may make one of what, making it, the moderators' queue, and what they decide."""
