"""Conversations of two people, their messages, and who may write to whom.

``send`` writes messages, ``reading`` lists them, ``inbox`` is what each side does with a conversation, ``blocks`` says who
does not want to hear from whom, ``policy`` who may write to whom, and ``notify`` tells of a message that came.
"""
