"""`marketplace-admin listings`: looking through them, their steps, import and export."""
