"""Is it alive, is it ready, what is it: for load balancers, monitors and operators."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations.health import OK, database_state, installation, work_state
from marketplace_api.domain.operations.neighbours import (
    MAIL_EVERY,
    Check,
    Neighbours,
    degraded,
    disk_state,
    mail_state,
    redis_state,
    replica_state,
    storage_state,
)
from marketplace_api.hal.representation import JSON
from marketplace_api.resources.root import Root
from marketplace_api.security.permissions import Permission as P
from marketplace_api.version import VERSION
from marketplace_api.views.operations.metrics import exposition
from marketplace_api.views.responses import document
from marketplace_api.views.service import Service

health = Service("healthz", "/healthz", Root, on="/")
readiness = Service("readyz", "/readyz", Root, on="/")
metrics = Service("metrics", "/metrics", Root, on="/")
version = Service("version", "/version", Root, on="/")

_NO_STORE = [("Cache-Control", "no-store")]


@health.operation("GET", "health", P.API_READ, title="Is the process alive?", result="health")
def alive(_request: Request) -> Response:
    return document({"status": "alive"}, 200, JSON, _NO_STORE)


@readiness.operation("GET", "readiness", P.API_READ, title="Can it serve?", result="readiness")
def ready(request: Request) -> Response:
    """Only the database and its schema decide; what else is away is named, and the rest goes on."""
    registry = request.registry
    asked = registry.neighbours.begin()
    required = database_state(registry.databases)
    others = asked()
    down, weak = any(state != OK for state in required.values()), degraded(others)
    body = {
        "status": "unavailable" if down else "degraded" if weak else "ready",
        "degraded": weak,
        "checks": {**required, **others},
        # Whoever looks after several tells by it which one answers.
        "installation": installation(registry.databases, registry.app_settings.secret) if not down else None,
        "jobs": _jobs(registry.databases),
    }
    return document(body, 503 if down else 200, JSON, [*_NO_STORE, *([("Retry-After", "5")] if down else [])])


def _jobs(databases: Databases) -> dict[str, Any] | None:
    """What waits to be done behind the API, which serves without it; ``None`` where that cannot be known."""
    work = work_state(databases)
    if work is None:
        return None
    queues = {
        queue.queue: {
            "todo": queue.todo,
            "doing": queue.doing,
            "failed": queue.failed,
            "stalled": queue.stalled,
            "oldestSeconds": round(queue.oldest_seconds, 1),
        }
        for queue in work.queues
    }
    return {"workers": work.workers, "queues": queues}


def neighbours_of(registry: Any) -> Neighbours:
    """Those of the application whose ``registry`` this is."""
    settings: Settings = registry.app_settings
    return Neighbours(
        {
            "storage": Check(lambda: storage_state(registry.storage)),
            "redis": Check(lambda: redis_state(registry.limiter, registry.app_settings.redis_url)),
            "disk": Check(lambda: disk_state(settings.data_dir)),
            "mail": Check(lambda: mail_state(settings), MAIL_EVERY),
            "replica": Check(lambda: replica_state(registry.databases)),
        }
    )


@metrics.operation("GET", "metrics", P.METRICS_READ, title="Prometheus metrics", result="metrics")
def measure(request: Request) -> Response:
    registry = request.registry
    body = exposition(registry.app_settings, registry.databases, registry.neighbours)
    return Response(body, headerlist=[("Content-Type", CONTENT_TYPE_LATEST), *_NO_STORE])


@version.operation("GET", "version", P.API_READ, title="Which version is this?", result="version")
def tell_version(_request: Request) -> Response:
    return document({"version": VERSION}, 200, JSON, _NO_STORE)
