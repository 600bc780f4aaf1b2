"""A closure added later, or other hours: open waits are carried over into the calendar of now.

Later, never earlier, and journalled (workflow.md §3). A wait remembers its opening and its policy but no calendar: what a former
calendar of the town (`Town.former`) explains is counted again, a day that somebody named is only moved out of what is closed now.
"""

from collections.abc import Sequence
from datetime import datetime

from workflow.calendar import Hours
from workflow.case import Case, Wait
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome
from workflow.people import Agency, Town
from workflow.promise import agency_of, into_hours


def recount(case: Case, act: Act) -> Outcome | None:
    """Carry a case's open waits over; None when nothing moves. Done twice it moves nothing twice."""
    out = Outcome(case, act)
    for wait in case.waits if act.town.former else ():
        moved = carried(wait, agency_of(wait, case, act.town), act.town, act.at)
        if moved is not wait:
            _put(out, wait, moved)
    return out.done() if out.entries else None


def carried(wait: Wait, agency: Agency, town: Town, at: datetime) -> Wait:
    """Carry one wait over, whose time is an agency's; the same value when nothing moves.

    What has fallen due and been said stays due: its next rung may be later. A paused wait keeps what it has left, an emergency
    knows no hours.
    """
    hours = agency.hours
    formers = [was for one in town.former if (was := one.get(agency.code)) is not None and was != hours]
    if not formers or wait.next_at is None or wait.urgency is Urgency.EMERGENCY:
        return wait
    said = wait.due_at <= at and wait.next_at > wait.due_at
    due = wait.due_at if said else _due(wait, formers, hours)
    rings = _rings(wait, wait.next_at, due, formers, hours)
    return wait if (due, rings) == (wait.due_at, wait.next_at) else wait.become(due_at=due, next_at=rings)


def _due(wait: Wait, formers: Sequence[Hours], hours: Hours) -> datetime:
    """When it is due: counted at its urgency, or at the usual one before that was raised."""
    policy, opened = wait.policy, wait.opened_at
    for urgency in dict.fromkeys((wait.urgency, Urgency.NORMAL)):
        if any(policy.due(opened, was, urgency) == wait.due_at for was in formers):
            return max(wait.due_at, policy.due(opened, hours, urgency))
    return _open(wait.due_at, formers, hours)


def _rings(wait: Wait, found: datetime, due: datetime, formers: Sequence[Hours], hours: Hours) -> datetime:
    """When its next rung rings, which counts from the due time.

    A share of the open time rises when time is opened: it moves with the due time alone.
    """

    def counted(due: datetime, hours: Hours) -> datetime | None:
        return wait.policy.ring_at(wait.rung, wait.opened_at, due, hours, wait.urgency)

    if any(counted(wait.due_at, was) == found for was in formers):
        again = counted(due, hours) or found
        opened_up = due == wait.due_at and again < due
        return _open(found, formers, hours) if opened_up else max(found, again)
    return due if found == wait.due_at else _open(found, formers, hours)


def _open(at: datetime, formers: Sequence[Hours], hours: Hours) -> datetime:
    """Move a moment that was open, and is closed now, to the next opening."""
    return into_hours(at, hours, Urgency.NORMAL) if any(was.admits(at) for was in formers) else at


def _put(out: Outcome, wait: Wait, moved: Wait) -> None:
    assert wait.next_at is not None and moved.next_at is not None
    case = out.become(waits=tuple(moved if w.id == wait.id else w for w in out.case.waits)).case
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    if due_moves := moved.due_at != wait.due_at:
        _rename(out, wait, moved.due_at)
    out.note(
        "wait.moved", wait.due_at.isoformat() if due_moves else None, moved.due_at.isoformat() if due_moves else None,
        wait=wait.kind, handoff=handoff.no if handoff else None, rang=wait.next_at.isoformat(), rings=moved.next_at.isoformat(),
    )  # fmt: skip


def _rename(out: Outcome, wait: Wait, due: datetime) -> None:
    """Where the case names the same day: 検討 to, 空き待ち review, 一時休み until, a re-check, the end of a notice."""
    handoff = out.case.handoff(wait.handoff) if wait.handoff else None
    if handoff and handoff.until == wait.due_at:
        out.put(handoff.become(until=due))
    if wait.kind == "recheck":
        out.become(recheck=due)
    if wait.kind == "closing_notice" and out.case.proposal:
        out.become(proposal=out.case.proposal.become(notice_until=due))
