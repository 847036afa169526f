"""The table of tickets for streams; the log itself is the kernel's."""
