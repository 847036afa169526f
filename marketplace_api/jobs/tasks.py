"""Jobs that are no handling of an event: each is put into the queue by ``enqueue.defer`` under its name here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from marketplace_api.jobs.outbound import channels, webhooks

TASKS: Mapping[str, Callable[..., None]] = {
    webhooks.SEND: webhooks.send_webhooks,
    channels.SEND_DELIVERIES: channels.send_deliveries,
}
"""By name: functions of a session, the services and the job's arguments by name. What they leave uncommitted is
committed after them; each may run more than once."""
