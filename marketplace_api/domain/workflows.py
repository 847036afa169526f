"""All workflows by their names."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.domain.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.reports.workflow import REPORT_WORKFLOW
from marketplace_api.domain.verifications.workflow import VERIFICATION_WORKFLOW
from marketplace_api.domain.workflow import Workflow

WORKFLOWS: Mapping[str, Workflow] = {
    workflow.name: workflow for workflow in (LISTING_WORKFLOW, VERIFICATION_WORKFLOW, REPORT_WORKFLOW)
}
