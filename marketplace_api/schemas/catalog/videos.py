"""What may come in about videos."""

from __future__ import annotations

from marketplace_api.gateways.video import megapixels
from marketplace_api.schemas.uploads import UploadForm

VIDEO = UploadForm(
    ("video/mp4", "video/webm"),
    "video_limit",
    title="Video",
    description="MP4 (H.264, H.265, AV1) or WebM (VP8, VP9, AV1).",
    megapixels=megapixels,
)
