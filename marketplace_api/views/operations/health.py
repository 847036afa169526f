"""Is it alive, is it ready, what is it: for load balancers, monitors and operators."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations.health import OK, database_state, installation, work_state
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.storage import Storage
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
_NOT_CONFIGURED = "not configured"


@health.operation("GET", "health", P.API_READ, title="Is the process alive?", result="health")
def alive(_request: Request) -> Response:
    return document({"status": "alive"}, 200, JSON, _NO_STORE)


@readiness.operation("GET", "readiness", P.API_READ, title="Can it serve?", result="readiness")
def ready(request: Request) -> Response:
    registry = request.registry
    checks = {
        **database_state(registry.databases),
        "storage": _storage_state(registry.storage),
        "redis": _redis_state(registry),
    }
    down = any(state not in (OK, _NOT_CONFIGURED) for state in checks.values())
    body = {
        "status": "unavailable" if down else "ready",
        "checks": checks,
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


def _storage_state(storage: Storage) -> str:
    try:
        storage.check()
    except Unavailable as error:
        return error.detail
    return OK


def _redis_state(registry: object) -> str:
    limiter = getattr(registry, "limiter", None)
    if limiter is None or not registry.app_settings.redis_url:  # type: ignore[attr-defined]
        return _NOT_CONFIGURED
    return OK if limiter.ping() else "unavailable"


@metrics.operation("GET", "metrics", P.METRICS_READ, title="Prometheus metrics", result="metrics")
def measure(request: Request) -> Response:
    settings, databases = request.registry.app_settings, request.registry.databases
    body = exposition(settings, databases)
    return Response(body, headerlist=[("Content-Type", CONTENT_TYPE_LATEST), *_NO_STORE])


@version.operation("GET", "version", P.API_READ, title="Which version is this?", result="version")
def tell_version(_request: Request) -> Response:
    return document({"version": VERSION}, 200, JSON, _NO_STORE)
