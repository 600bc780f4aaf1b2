"""支援プラン: immutable versions, of which exactly one of a kind is the current one (I12)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from workflow import refusals as no
from workflow.case import Case, Value
from workflow.conference import COORDINATION, Conference
from workflow.facts import consented, must_lead
from workflow.outcome import Act, Outcome
from workflow.people import LEAD

KINDS: Final = ("coordination", "outreach", "participation")  #: 多機関協働 · アウトリーチ · 参加支援
#: A plan ends within a year (domain.md §1.5); nothing closes by itself when it does.
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True)
class Plan(Value):
    """One version. Only the moment when the next one took its place is ever added to it."""

    id: int
    case_id: int
    kind: str
    version: int  #: 1, 2, 3 … within case (or person) and kind
    from_at: datetime
    by: str
    at: datetime
    to_at: datetime | None = None  #: since when it is not the current one
    person: int | None = None
    doc: Mapping[str, object] = field(default_factory=dict)  #: codes: issues, roles, until
    text: int | None = None  #: sealed: the goal in words
    conference: int | None = None


def following(
    case: Case, kind: str, standing: Iterable[Plan], act: Act, *, until: datetime | None = None, text: int | None = None,
    conference: Conference | None = None, person: int | None = None,
) -> tuple[Plan, Outcome]:  # fmt: skip
    """Make the next version from the case as it stands. Without consent there is an outreach plan alone (domain.md §1.5).

    One of a 重層的支援会議 is put before the city: 支援決定 is waited for. Raises LeadOnly, ConsentForPlan, DayOutOfRange.
    """
    must_lead(case, act)
    if kind not in KINDS:
        raise no.NoSuchCode(text=kind)
    if kind != "outreach" and not consented(case):
        raise no.ConsentForPlan(number=case.number)
    if until is not None and not act.at < until <= act.at + LONGEST:
        raise no.DayOutOfRange(latest=act.at + LONGEST)
    before = [p.version for p in standing if (p.kind, p.person) == (kind, person)]
    made = Plan(
        id=act.fresh(), case_id=case.id, kind=kind, version=max(before, default=0) + 1, from_at=act.at, by=act.who, at=act.at,
        person=person, doc=contents(case, until), text=text, conference=conference.id if conference else None,
    )  # fmt: skip
    out = Outcome(case, act).note("plan.made", plan=kind, version=made.version, conference=made.conference, text=text)
    if conference is not None and conference.kind == COORDINATION and not case.decision:
        out.become(decision="asked").note("case.decision", None, "asked")
    return made, out.done()


def contents(case: Case, until: datetime | None) -> Mapping[str, object]:
    """The codes of a plan: strands with their wish, who holds what, and to when it runs."""
    return {
        "issues": [[i.concern, i.wish, i.status] for i in case.issues if i.status != "settled"],
        "roles": [[h.duty, h.to_agency, h.holder] for h in case.held if h.duty != LEAD],
        "until": until.isoformat() if until else None,
    }
