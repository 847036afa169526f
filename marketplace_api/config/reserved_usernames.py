"""User names that nobody registers, unless the setting names others: they would be taken for those who run the service."""

from __future__ import annotations

_TEXT = """
    abuse account accounts accounting admin admins administrator* anonymous api auth backup billing bot bots ceo contact
    customercare customerservice customersupport daemon dev developer developers feedback finance guest hello help helpdesk
    hostmaster info legal login mail mailer mailerdaemon marketing marketplace* me moderation moderator* mods nobody noreply
    null official operator operators owner payment payments payout payouts postmaster press privacy root safety security
    service services signup staff status sudo superuser support supportteam sysadmin sysop system team trust trustandsafety
    undefined unknown user verification verified webmaster www
    """
RESERVED_USERNAMES = tuple(_TEXT.split())
"""One that ends in ``*`` stands for all that begin so."""
