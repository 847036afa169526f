"""Conversations of two: ``sending`` writes messages, ``reading`` lists them, ``keeping`` is what each side does with a
conversation, ``blocks`` says who does not want to hear from whom and ``policy`` who may write to whom."""
