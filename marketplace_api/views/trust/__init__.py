"""Operations on verifications, reports and the moderators' queues."""
