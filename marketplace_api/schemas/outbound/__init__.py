"""What may come in about notifications, telephone numbers, browsers, webhooks and mail."""
