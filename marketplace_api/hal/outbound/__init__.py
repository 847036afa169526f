"""Notifications, telephone numbers, browsers and webhooks as they go out."""
