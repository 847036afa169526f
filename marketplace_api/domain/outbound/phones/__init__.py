"""Telephone numbers: showing that one holds a number, and what is never sent to it again."""
