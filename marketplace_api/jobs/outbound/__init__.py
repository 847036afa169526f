"""Jobs that notify people, send what is due by each channel, and call webhooks."""
