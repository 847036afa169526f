"""The realtime process: what happens, pushed to those who may know of it, by socket.io and server-sent events.

``event_map`` says which events of the log are pushed, ``replay_buffer`` keeps the latest of them, ``authorization`` asks the
resource tree who may see what, ``hub`` and ``clients`` deliver, ``pubsub`` and ``presence`` are what is not in the log;
``socketio`` and ``sse`` are the two ways in, ``app`` puts it together and ``server`` serves it.
"""
