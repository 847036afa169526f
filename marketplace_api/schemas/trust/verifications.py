"""What may come in about verifications."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.gateways.documents import ACCEPTED, megapixels
from marketplace_api.models.trust.verifications import DOCUMENT_TYPES, VERIFICATION_STATES
from marketplace_api.schemas.base import Body, PageQuery, Query
from marketplace_api.schemas.types import FromQuery, Moment, Nullable, OneOf, Text
from marketplace_api.schemas.uploads import UploadForm

REASON = Text(2000, 3, lines=True)

DOCUMENT = UploadForm(
    ACCEPTED,
    "document_limit",
    in_memory=True,
    title="Document",
    description="Only moderators see it, and each time it is recorded who opened it and why.",
    megapixels=megapixels,
)


class SubmitDocument(Body):
    """What comes along with a document."""

    document_type = SchemaNode(OneOf(DOCUMENT_TYPES), title="Kind of document")


class Approve(Body):
    """For how long the approval holds."""

    expires_at = SchemaNode(
        Nullable(Moment()), missing=None, title="Valid until", description="null or absent: until further notice."
    )


class Reject(Body):
    """Why a document does not convince."""

    reason = SchemaNode(REASON, title="Reason", description="The owner reads this.")


class ListVerifications(PageQuery):
    """The queue of one state, oldest first."""

    status = SchemaNode(FromQuery(OneOf(VERIFICATION_STATES)), missing="pending", description="Those in this state.")


class OpenDocument(Query):
    """Why a document is opened."""

    reason = SchemaNode(FromQuery(REASON), description="Goes into the audit log.")
