"""Operations on conversations, messages, blocks and reviews."""
