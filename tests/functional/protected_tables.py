"""Which tables policies protect, and why the others need none. A new table stands on one of these lists."""

from __future__ import annotations

# Each protected table, with the accounts that a row belongs to.
OWNERS = {
    "conversations": ("participant1_id", "participant2_id"),
    "conversation_sides": ("user_id", "other_id"),
    "inboxes": ("user_id",),
    "messages": ("sender_id", "receiver_id"),
    "blocks": ("user_id", "blocked_id"),
    "notifications": ("user_id",),
    "notification_boxes": ("user_id",),
    "notification_preferences": ("user_id",),
    "deliveries": ("user_id",),
    "notification_choices": ("user_id",),
    "sessions": ("user_id",),
    "one_time_tokens": ("user_id",),
    "stream_tickets": ("user_id",),
    "verifications": ("user_id",),
    "files": ("owner_id",),
    "reports": ("reporter_id",),
    "phones": ("user_id",),
    "phone_codes": ("user_id",),
    "push_subscriptions": ("user_id",),
}
MODERATED = ("verifications", "files", "reports")
"""What moderators see of everybody's; of messages, only those that were reported."""

OFFICE = ("webhook_endpoints", "webhook_deliveries")
"""What belongs to no account: for who looks after the marketplace."""

OPEN = {
    "users": "profiles are public, and log-in, names and ranks ask for accounts of all kinds",
    "listings": "what is on offer is public; drafts are kept apart by the queries of search",
    "listing_photos": "parts of listings",
    "listing_videos": "parts of listings",
    "user_pictures": "pictures are public",
    "reviews": "public",
    "bookmarks": "who owns a listing reads how many keep it, so others' rows are counted",
    "events": "names ids only, and can only grow; read by admins, and for what one asked for a moment ago",
    "login_failures": "keyed hashes, which name nobody",
    "phone_code_counts": "keyed hashes, which name nobody",
    "phone_stops": "keyed hashes, which name nobody",
    "stored_answers": "hashes, and answers that are encrypted for the caller",
    "notified_events": "ids of events that were told",
    "moderation_batches": "what operators did",
    "moderation_batch_rows": "what operators did",
    "job_errors": "classes of errors and places in the code, beside ids of jobs",
    "schedule_runs": "what the clock did",
    "categories": "public",
    "api_keys": "hashes of keys, and what operators call them",
    "webhook_position": "how far the log was passed on",
    "search_terms": "what public listings say",
    "search_term_deltas": "what public listings say",
    "search_bitmaps": "what public listings say",
    "search_changes": "what public listings say",
}
