"""Jobs about verifications, and notifications of what moderators decided."""
