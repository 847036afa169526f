"""Verification of accounts: sending a document, and what moderators do with it."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.verifications import decisions, documents, reading, submission, workflow
from marketplace_api.domain.trust.verifications.workflow import VERIFICATION_WORKFLOW
from marketplace_api.gateways.documents import ENDINGS
from marketplace_api.hal.representation import Representation
from marketplace_api.hal.trust import verifications as represent
from marketplace_api.resources.trust.verifications import (
    OwnVerificationContext,
    VerificationContext,
    VerificationsContext,
)
from marketplace_api.schemas.trust import verifications as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

QUEUE = "/api/moderation/verifications"
ONE = f"{QUEUE}/{{verification_id}}"
own = Service("me-verification", workflow.OWN, OwnVerificationContext, limits="upload")
queue = Service("verifications", QUEUE, VerificationsContext)
item = Service("verification", ONE, VerificationContext)
document = Service("verification-document", f"{ONE}/document", VerificationContext, on=ONE)
approving = Service("verification-approve", f"{ONE}/approve", VerificationContext, on=ONE)
rejecting = Service("verification-reject", f"{ONE}/reject", VerificationContext, on=ONE)

_APPROVE, _REJECT = VERIFICATION_WORKFLOW.step("approve"), VERIFICATION_WORKFLOW.step("reject")

# What a stranger sent is never shown by a browser at this origin, and never kept by anybody on the way.
GUARDED = (
    ("Cache-Control", "no-store, private"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def _can_submit(context: OwnVerificationContext, _actor: Actor) -> bool:
    return workflow.possible(context.status, "submit")


def _can_approve(context: VerificationContext, _actor: Actor) -> bool:
    return workflow.possible(context.row.status, "approve")


def _can_reject(context: VerificationContext, _actor: Actor) -> bool:
    return workflow.possible(context.row.status, "reject")


def _has_document(context: VerificationContext, _actor: Actor) -> bool:
    return context.has_document


@own.operation("GET", "read-verification", P.VERIFICATION_READ, title="Your verification", result="own_verification")
def read_own(request: Request) -> Representation:
    return represent.own(request.context)


@own.operation(
    "POST",
    "submit",
    P.VERIFICATION_SUBMIT,
    title="Send a document",
    body=schemas.SubmitDocument,
    upload=schemas.DOCUMENT,
    applies=_can_submit,
    result="verification_receipt",
    description="A PDF, JPEG or PNG, checked by its content and kept encrypted. One at a time.",
)
def submit(request: Request) -> Representation:
    registry, upload = request.registry, request.upload
    row = submission.submit(
        request.db,
        registry.databases,
        registry.storage,
        registry.document_keys,
        request.actor,
        document_type=request.validated["document_type"],
        stream=upload.stream,
        name=upload.filename,
        declared_type=upload.declared_type,
    )
    return represent.receipt(request.context, row)


@queue.operation(
    "GET",
    "list-verifications",
    P.VERIFICATION_REVIEW,
    title="The queue of verifications",
    query=schemas.ListVerifications,
    result="verifications",
    description="Oldest first; those that wait for a decision, unless `status` asks for others.",
)
def find(request: Request) -> Representation:
    page = reading.list_page(request.db, request.query["status"], page_request(request.query))
    return represent.verifications(request, page, request.context)


@item.operation("GET", "read-verification", P.VERIFICATION_REVIEW, title="A verification", result="verification")
def read(request: Request) -> Representation:
    return represent.verification(request.context)


@document.operation(
    "GET",
    "open-document",
    P.VERIFICATION_OPEN,
    title="Open the document",
    query=schemas.OpenDocument,
    applies=_has_document,
    result="document",
    description="Who opens it, when and why is recorded before it is sent. It is for saving, not for showing.",
)
def open_document(request: Request) -> Response:
    registry, verification_id = request.registry, request.context.row.verification_id
    opened = documents.open_document(
        registry.databases,
        registry.storage,
        registry.document_keys,
        request.actor,
        verification_id,
        reason=request.query["reason"],
    )
    name = f"verification-{verification_id}.{ENDINGS[opened.media_type]}"  # ours: theirs could say anything
    described = [
        ("Content-Type", opened.media_type),
        ("Content-Disposition", f'attachment; filename="{name}"'),
        ("Content-Length", str(len(opened.content))),
    ]
    return Response(headerlist=[*described, *GUARDED], app_iter=[opened.content])


@approving.operation(
    "POST",
    _APPROVE.name,
    P(_APPROVE.permission),
    title=_APPROVE.title,
    description=_APPROVE.description,
    body=schemas.Approve,
    applies=_can_approve,
    step=True,
    result="verification",
)
def approve(request: Request) -> Representation:
    row = decisions.approve(
        request.db,
        request.actor,
        request.context.row.verification_id,
        expires_at=request.validated["expires_at"],
        expected_version=expected_version(request),
    )
    return represent.verification(request.context.with_row(row))


@rejecting.operation(
    "POST",
    _REJECT.name,
    P(_REJECT.permission),
    title=_REJECT.title,
    description=_REJECT.description,
    body=schemas.Reject,
    applies=_can_reject,
    step=True,
    result="verification",
)
def reject(request: Request) -> Representation:
    row = decisions.reject(
        request.db,
        request.actor,
        request.context.row.verification_id,
        reason=request.validated["reason"],
        expected_version=expected_version(request),
    )
    return represent.verification(request.context.with_row(row))
