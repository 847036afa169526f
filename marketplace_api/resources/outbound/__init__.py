"""Notifications, telephone numbers, browsers and webhooks in the tree, and what the links of mails lead to."""
