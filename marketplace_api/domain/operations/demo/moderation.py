"""What moderators have to do with: documents that people send to be verified, and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO

from marketplace_api.domain.operations.demo import fixtures, placeholder_images
from marketplace_api.domain.operations.demo.timeline import Timeline
from marketplace_api.domain.trust.reports import create
from marketplace_api.domain.trust.reports import workflow as reports
from marketplace_api.domain.trust.verifications import decisions, submission
from marketplace_api.models.trust.reports import Report
from marketplace_api.models.trust.verifications import Verification

Row = Mapping[str, str]
JUDGE = "moderator"


def plan(market: Timeline) -> None:
    """Verifications and reports, some of them decided."""
    for rows, begin, decide in (
        (fixtures.rows("verifications"), _submit, _decide),
        (fixtures.rows("reports"), _report, _judge),
    ):
        for row in rows:
            begun: dict[str, int] = {}
            moment = market.ago(row["days_ago"])
            market.plan(moment, partial(begin, market, row, begun))
            if row["hours"]:
                market.plan(moment + timedelta(hours=float(row["hours"])), partial(decide, market, row, begun))


def _submit(market: Timeline, row: Row, begun: dict[str, int], moment: datetime) -> None:
    document = BytesIO()
    placeholder_images.portrait(row["who"]).save(document, "PNG")
    document.seek(0)
    sent = submission.submit(
        market.session,
        market.databases,
        market.storage,
        market.keys,
        market.people[row["who"]],
        document_type=row["document_type"],
        stream=document,
        name=f"{row['document_type']}.png",
        declared_type="image/png",
    )
    begun["id"] = sent.verification_id
    market.date(Verification, Verification.verification_id == sent.verification_id, date_submitted=moment)


def _decide(market: Timeline, row: Row, begun: dict[str, int], moment: datetime) -> None:
    judge, verification_id = market.people[JUDGE], begun["id"]
    if row["decision"] == "approve":
        decisions.approve(market.session, judge, verification_id)
    else:
        decisions.reject(market.session, judge, verification_id, reason=row["reason"])
    market.date(Verification, Verification.verification_id == verification_id, date_decided=moment)


def _report(market: Timeline, row: Row, begun: dict[str, int], moment: datetime) -> None:
    about = row["about"]
    is_person = about.startswith("@")
    subject_id = market.people[about[1:]].user_id if is_person else market.listings[about]
    made = create.create(
        market.session,
        market.people[row["reporter"]],
        subject_type="user" if is_person else "listing",
        subject_id=subject_id or 0,
        reason=row["reason"],
        comment=row["comment"],
    )
    begun["id"] = made.report_id
    market.date(Report, Report.report_id == made.report_id, date_created=moment, date_updated=moment)


def _judge(market: Timeline, row: Row, begun: dict[str, int], moment: datetime) -> None:
    reports.decide(market.session, market.people[JUDGE], begun["id"], row["step"], reason=row["decision"])
    market.date(Report, Report.report_id == begun["id"], date_decided=moment, date_updated=moment)
