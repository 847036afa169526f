"""Notifications: ``kinds`` of them, ``telling`` makes them of events, ``reading`` lists them, ``texts`` says what they say,
``keeping`` is what their owner does with them and ``preferences`` what people want to be told, and how."""
