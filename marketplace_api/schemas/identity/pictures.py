"""What may come in about the pictures of people."""

from __future__ import annotations

from marketplace_api.gateways.images import ACCEPTED, megapixels
from marketplace_api.schemas.uploads import UploadForm

PICTURE = UploadForm(
    ACCEPTED, "photo_limit", title="Picture", description="The square in its middle is kept.", megapixels=megapixels
)
