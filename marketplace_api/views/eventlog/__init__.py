"""Operations that read the event log, and give tickets for streams."""
