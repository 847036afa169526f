"""The realtime process: what happens, pushed to those who may know of it, by socket.io and server-sent events.

``entries`` says which events of the log are pushed, ``recent`` keeps the latest of them, ``channels`` asks the resource
tree who may see what, ``hub`` and ``clients`` deliver, ``signals`` and ``presence`` are what is not in the log;
``sockets`` and ``streams`` are the two ways in, ``app`` puts it together and ``running`` serves it.
"""
