"""What of an account is read for whom; apart from :mod:`profiles`, so that who only reads loads little."""

from __future__ import annotations

from marketplace_api.models.identity.accounts import User

_u = User.__table__.c

PUBLIC_COLUMNS = (
    _u.user_id,
    _u.username,
    _u.profile_picture_url,
    _u.bio,
    _u.date_joined,
    _u.date_updated,
    _u.is_verified,
    _u.rating_count,
    _u.rating_sum,
    _u.state,
    _u.version,
)
"""What a stranger's view of an account is made from."""

OWN_COLUMNS = (
    *PUBLIC_COLUMNS,
    _u.email,
    _u.pending_email,
    _u.email_confirmed_at,
    _u.contact_information,
    _u.roles,
    _u.state_reason,
    _u.suspended_until,
    _u.last_login,
    _u.email_bounced_at,
)
"""What the owner's view is made from."""
