"""What is counted of a month: cases opened and closed, troubles, handoffs, and what an erasure takes away. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from workflow.case import Case

#: What cannot be counted any more from what an erasure leaves (workflow/retention.py `only_figures`).
LOST: Final = frozenset({"danger", "abuse", "death", "request"})


class Figure(NamedTuple):
    """One count of a month."""

    month: str  #: 2026-06, in the town's own days
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()  #: (what, code), sorted


def count(cases: Iterable[Case], zone: tzinfo) -> Counter[Figure]:
    """Count cases as they stand. Frozen figures of what was erased (`LOST`) are added to it."""
    return Counter(figure for case in cases for figure in _of(case, zone))


def lost(cases: Iterable[Case], zone: tzinfo) -> Counter[Figure]:
    """What an erasure of these cases would take from the figures."""
    return Counter({figure: n for figure, n in count(cases, zone).items() if figure.name in LOST})


def _of(case: Case, zone: tzinfo) -> Iterator[Figure]:
    def figure(name: str, at: datetime, **dimensions: str | None) -> Figure:
        month = at.astimezone(zone).strftime("%Y-%m")
        return Figure(month, name, tuple(sorted((what, code or "") for what, code in dimensions.items())))

    opened = case.opened_at
    again = "yes" if case.previous else "no"
    yield figure(
        "opened", opened, agency=case.opened_agency, district=case.district, again=again, consent=_consent(case)
    )
    for issue in case.issues:
        yield figure("issue", opened, concern=issue.concern, wish=issue.wish, status=issue.status)
    if case.closed_at:
        yield figure("closed", case.closed_at, reason=case.closing_reason)
    for one in case.handoffs:
        yield figure("offered", one.offered_at, duty=one.duty, agency=one.to_agency)
        if one.accepted_at:
            yield figure("accepted", one.accepted_at, duty=one.duty, agency=one.to_agency)
        if one.connected_at:
            yield figure("connected", one.connected_at, duty=one.duty)
        if one.ended_at:
            yield figure("ended", one.ended_at, duty=one.duty, state=one.state, reason=one.reason)
    yield from (figure(name, opened) for name in ("danger", "abuse") if getattr(case, name))
    if case.deceased:
        yield figure("death", opened)
    yield from (figure("request", one.at, kind=one.kind) for one in case.requests)


def _consent(case: Case) -> str:
    return case.consent.state if case.consent else ""
