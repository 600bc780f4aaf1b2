"""保存と消去: from when on a household may be erased, what stops it, and what of its cases is left for the figures.

No national period is known for 重層; a town's 文書管理規程 decides. A period is in fiscal years, from the April after the closing on.
"""

from dataclasses import dataclass
from datetime import date

from workflow import refusals as no
from workflow.case import Case, Consent, Handoff, Issue
from workflow.people import Role, Staff

APRIL = 4

#: Who lists, proposes, confirms, holds back and lifts.
KEEPERS = (Role.PRIVACY, Role.OFFICIAL)
#: 保全: why a household is kept beyond its period.
HOLDS = ("dispute", "disclosure", "inquiry", "other_law", "other")


@dataclass(frozen=True, slots=True)
class Standing:
    """A household as an erasure sees it."""

    closed_on: date | None  #: the local day on which the last of its cases was closed; None: one is open
    held: bool  #: 保全
    gone: bool  #: erased already


def fiscal_year(day: date) -> int:
    """The year in which its April lies."""
    return day.year if day.month >= APRIL else day.year - 1


def closed_before(today: date, years: int) -> date:
    """The day before which a case must have been closed to be erasable today."""
    return date(fiscal_year(today) - years, APRIL, 1)


def erasable_from(closed: date, years: int) -> date:
    """The first day on which what was closed then may be erased."""
    return date(fiscal_year(closed) + 1 + years, APRIL, 1)


def must_be_erasable(standing: Standing, today: date, years: int) -> None:
    """Raises ErasedAlready, OpenAgain, OnHold or StillKept."""
    if standing.gone:
        raise no.ErasedAlready
    if standing.closed_on is None:
        raise no.OpenAgain
    if standing.held:
        raise no.OnHold
    if today < (day := erasable_from(standing.closed_on, years)):
        raise no.StillKept(day=day.isoformat())


def must_keep(who: Staff) -> None:
    """Raises KeepersOnly."""
    if not who.has(*KEEPERS):
        raise no.KeepersOnly


def must_be_second(who: Staff, proposed_by: str) -> None:
    """Two people erase: whoever confirms is not who proposed. Raises KeepersOnly or AnotherErases."""
    must_keep(who)
    if who.code == proposed_by:
        raise no.AnotherErases


def only_figures(case: Case) -> Case:
    """What an erasure leaves of a case: path, dates, agencies, codes that are counted. What is not named here is not kept."""
    return Case(
        id=case.id, number=case.number, household=case.household, stage=case.stage, urgency=case.urgency,
        opened_at=case.opened_at, opened_by=case.opened_by, opened_agency=case.opened_agency, version=case.version,
        seq=case.seq, head=case.head, lead=case.lead, interim=case.interim, previous=case.previous, district=case.district,
        moved_at=case.moved_at, stage_at=case.stage_at, screening=case.screening, conference=case.conference,
        consent=Consent(case.consent.state) if case.consent else None, decision=case.decision,
        coordination=case.coordination, closing_reason=case.closing_reason, closed_at=case.closed_at,
        issues=tuple(Issue(i.no, i.concern, i.wish, i.status) for i in case.issues),
        handoffs=tuple(_handoff(h) for h in case.handoffs),
    )  # fmt: skip


def _handoff(one: Handoff) -> Handoff:
    return Handoff(
        id=one.id, no=one.no, duty=one.duty, state=one.state, sender=one.sender, from_agency=one.from_agency,
        to_agency=one.to_agency, offered_at=one.offered_at, basis=one.basis, holder=one.holder, batch=one.batch,
        issues=one.issues, meets_person=one.meets_person, accepted_at=one.accepted_at, connected_at=one.connected_at,
        result_at=one.result_at, ended_at=one.ended_at, reason=one.reason,
    )  # fmt: skip
