"""Figures for those who run the marketplace: ``overview``, ``listings``, ``users`` and ``moderation`` over a ``period``."""
