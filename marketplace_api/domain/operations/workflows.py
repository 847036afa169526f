"""All workflows by their names."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.kernel.workflow import Workflow
from marketplace_api.domain.trust.reports.workflow import REPORT_WORKFLOW
from marketplace_api.domain.trust.verifications.workflow import VERIFICATION_WORKFLOW

WORKFLOWS: Mapping[str, Workflow] = {
    workflow.name: workflow for workflow in (LISTING_WORKFLOW, VERIFICATION_WORKFLOW, REPORT_WORKFLOW)
}
