"""Notifications, and the deliveries by which they leave the application.

``types`` says which there are, ``create`` makes them of events, ``reading`` lists them, ``content`` words them, ``inbox`` is
what their owner does with them. ``preferences`` is what people want to be told, and how; ``deliveries``, ``scheduling`` and
``rescheduling`` are what goes by e-mail, SMS and web push, and when.
"""
