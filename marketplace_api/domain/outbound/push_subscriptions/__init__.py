"""Web push: the browsers that take notifications."""
