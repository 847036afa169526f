"""Operations on notifications, telephone numbers, browsers and webhooks, and what providers report."""
