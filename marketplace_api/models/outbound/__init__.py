"""Tables of notifications and deliveries, telephone numbers, browsers and webhooks."""
