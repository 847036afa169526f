"""Operations on accounts, sessions, pictures and API keys."""
