"""The promise: which waits a case must have, derived from its state, so that no command can forget the next one.

`standing` says what has to be waited for; `settle` closes what is no longer needed and opens what is missing. An open case
always has at least one wait (I25), each with a due time, an owner and rungs that end at a human (I4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workflow.calendar import Hours, Span
from workflow.case import TRACK, Case, Handoff, Report, Wait
from workflow.ladder import AGAIN, Urgency
from workflow.people import WATCH, Agency, Town
from workflow.who import reach

if TYPE_CHECKING:
    from workflow.outcome import Outcome

MOVEMENT = "movement_"
#: A child is seen within 48 hours of the report (児童相談所運営指針); a report that is written down late leaves a few minutes.
CHILD_SEEN = timedelta(hours=48)
LEFT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Want:
    """A wait that the case's state demands."""

    kind: str
    owner: str
    handoff: int | None = None
    policy: str = ""  #: name of the policy; empty: the kind
    due: datetime | None = None  #: a due time that somebody named
    subject: str = ""
    paused: bool = False  #: the receiver's clock stands still
    span: str = ""  #: a duration that replaces the policy's (an agreed cadence)
    wall: bool = False  #: EMERGENCY by the wall clock, however urgent the case is

    @property
    def key(self) -> tuple[str, int | None, str]:
        return (self.kind, self.handoff, self.subject)


def standing(case: Case, town: Town, at: datetime) -> Iterator[Want]:
    """Say which waits this case must have, from nothing but its state."""
    if not case.open:
        return
    if case.proposal:
        yield _approval(case)
    if case.deceased:
        # After 逝去 nothing is asked of anyone but the closing's approver (I27).
        return
    yield from _stage(case, at)
    yield from _facts(case)
    for report in case.reports:
        if report.open:
            yield _duty(report, at)
    for need in case.needs:
        if need.stuck:
            yield Want("next_step", "coordinator" if need.to_coordinator else "lead", subject=need.duty)
    for handoff in case.handoffs:
        yield from _handoff(handoff, case, at)
    for request in case.requests:
        kind = request.kind if request.kind in ("safety", "conference") else "talk"
        owner = {"safety": "coordinator", "conference": "official"}.get(kind, "lead")
        yield Want(kind, owner, request.handoff, subject=f"{request.kind}:{request.no}")


def _approval(case: Case) -> Want:
    proposal = case.proposal
    assert proposal is not None
    if proposal.notice_until and not proposal.asked:
        return Want("closing_notice", "approver", due=proposal.notice_until)
    return Want("approval", "approver")


def _stage(case: Case, at: datetime) -> Iterator[Want]:
    match case.stage:
        case "suspended":
            yield Want("recheck", "lead", due=case.recheck)
        case "intake" if not case.screening:
            yield Want("screening", "lead")
        case "support":
            yield Want("plan_review", "lead")
            if not any(h.duty not in ("lead", WATCH) for h in case.held):
                yield Want(f"{MOVEMENT}support", "lead")
        case "watching":
            yield Want("plan_review", "lead")
            if not case.watchers:
                yield Want(f"{MOVEMENT}watching", "lead")
        case stage:
            yield Want(f"{MOVEMENT}{stage}", "lead")


def _facts(case: Case) -> Iterator[Want]:
    if case.consent and case.consent.state == "pending" and case.stage != "suspended":
        yield Want("consent", "lead")
    if case.interim:
        yield Want("interim", "coordinator")
    if case.decision in ("asked", "pending"):
        yield Want("decision", "lead")


def _duty(report: Report, at: datetime) -> Want:
    """The one step of a track that comes next: report it, see the child, look again until an official ends it."""
    about = f"{report.kind}:{report.no}"
    if report.reported_at is None:
        return Want("report", "lead", subject=about, wall=True)
    if report.kind == "child" and report.seen_at is None:
        due = max(report.reported_at + CHILD_SEEN, at + LEFT)
        return Want("child_safety", "official", due=due, subject=about, wall=True)
    return Want("report_follow", "official", subject=about)


def _handoff(handoff: Handoff, case: Case, at: datetime) -> Iterator[Want]:
    paused = handoff.state in ("info_requested", "conditional")
    left = handoff.left if paused else None
    if handoff.state == "offered" or (paused and left != "considering"):
        yield Want("react", _answering(handoff, case), handoff.id, paused=paused)
    if handoff.state == "considering" or (paused and left == "considering"):
        policy = "decide_weekly" if handoff.weekly else "decide"
        yield Want("decide", _answering(handoff, case), handoff.id, policy, due=handoff.until, paused=paused)
    match handoff.state:
        case "info_requested":
            yield Want("answer_question", "sender", handoff.id)
        case "conditional":
            yield Want("condition", "sender", handoff.id)
        case "waitlisted":
            yield Want("waitlist", "receiver", handoff.id, due=handoff.until)
        case "on_hold" if case.stage != "suspended" or handoff.reason != "suspended":
            # What rests because the case does is asked about by the case's own re-check.
            yield Want("on_hold", "holder", handoff.id, due=handoff.until)
        case "accepted" if not handoff.held_by_head:
            policy = "first_contact_again" if handoff.attempts else "first_contact"
            yield Want("first_contact", "holder", handoff.id, policy)
        case "active" if not handoff.held_by_head:
            span = handoff.cadence or (case.interval if handoff.duty == WATCH else "")
            policy = handoff.ask_again or "checkin"
            yield Want("checkin", "holder", handoff.id, policy, span="" if handoff.ask_again else span)
    if handoff.awaits_result and handoff.state == "active":
        yield Want("result", "holder", handoff.id)
    if handoff.held_by_head and handoff.held:
        yield Want("head_holds", "head", handoff.id)
    if handoff.withdraw_asked and handoff.held:
        yield Want("withdrawal", "coordinator", handoff.id)


def _answering(handoff: Handoff, case: Case) -> str:
    """The asked side; the last candidate never expires: after the last rung the coordinator owns the wait."""
    wait = case.wait("react", handoff.id) or case.wait("decide", handoff.id)
    climbed = wait is not None and wait.rung >= len(wait.policy.steps(wait.urgency))
    return "coordinator" if handoff.last_candidate and climbed else "receiver"


def agency_for(owner: str, handoff: Handoff | None, case: Case, town: Town) -> Agency:
    """Whose business time counts: the receiving agency's, or that of the agency of whoever owns the wait."""
    if handoff and owner in ("receiver", "holder", "head"):
        return town.agency_at(handoff.to_agency)
    if handoff and owner == "sender":
        return town.agency_at(handoff.from_agency)
    if owner in ("official", "final"):
        return town.agency_of(town.final_owner)
    if owner == "lead" and case.lead:
        return town.agency_of(case.lead)
    return town.body


def hours_for(owner: str, handoff: Handoff | None, case: Case, town: Town, at: datetime) -> Hours:
    """The business time of whoever owns a wait."""
    return agency_for(owner, handoff, case, town).hours


def agency_of(wait: Wait, case: Case, town: Town) -> Agency:
    """Whose business time a wait counts in: that of the agency which has to act."""
    return agency_for(wait.owner, case.handoff(wait.handoff) if wait.handoff else None, case, town)


def into_hours(at: datetime, hours: Hours, urgency: Urgency) -> datetime:
    """Move a clock time that somebody named on into business time, where a wait may fall due. EMERGENCY is wall-clock."""
    return at if urgency is Urgency.EMERGENCY or hours.admits(at) else hours.next_open(at)


def open_wait(outcome: "Outcome", want: Want) -> Wait:
    """Open one wait: copy its policy, find its due time, set its first rung."""
    case, act = outcome.case, outcome.act
    handoff = case.handoff(want.handoff) if want.handoff else None
    policy = act.town.policies[want.policy or want.kind]
    if want.span:
        policy = replace(policy, normal=want.span, high=_shorter(want.span, policy.high))
    hours = hours_for(want.owner, handoff, case, act.town, act.at)
    named = outcome.named_due(want.kind, want.handoff, want.subject) or want.due
    urgency = Urgency.EMERGENCY if want.wall else case.urgency
    due = named if named and named > act.at else policy.due(act.at, hours, urgency)
    wait = Wait(
        id=act.fresh(), kind=want.kind, owner=want.owner, opened_at=act.at, due_at=due, policy=policy,
        handoff=want.handoff, urgency=urgency, subject=want.subject,
    )  # fmt: skip
    if want.paused:
        return wait.become(paused_left=hours.open_minutes(act.at, due))
    return wait.become(next_at=_next(wait, hours))


def _shorter(one: str, other: str) -> str:
    probe = datetime.fromisoformat("2026-06-01T00:00:00+00:00")
    anytime = Hours("UTC", (((0, 1440),),) * 7, frozenset())
    return min(one, other, key=lambda s: Span.parse(s).after(probe, anytime))


def _next(wait: Wait, hours: Hours) -> datetime | None:
    return wait.policy.ring_at(wait.rung, wait.opened_at, wait.due_at, hours, wait.urgency)


def advance(wait: Wait, hours: Hours, at: datetime) -> Wait:
    """Go on to the next rung, past those whose time is over; after the last one the same humans hear again."""
    while True:
        wait = wait.become(rung=wait.rung + 1)
        following = _next(wait, hours)
        if following is None:
            again = AGAIN.span(wait.urgency).after(at, hours, emergency=wait.urgency is Urgency.EMERGENCY)
            return wait.become(next_at=again)
        if following > at:
            return wait.become(next_at=following)


def settle(outcome: "Outcome") -> None:
    """Close the waits that the case no longer needs, open those it needs now, keep the rest as they are."""
    case, act = outcome.case, outcome.act
    wants = {w.key: w for w in standing(case, act.town, act.at)}
    kept: list[Wait] = []
    for wait in case.waits:
        if wait.kind == "queue":
            kept.append(wait)  # judged below, when the waits it was climbed from are known
            continue
        want = wants.get((wait.kind, wait.handoff, wait.subject))
        again = want is not None and (wait.kind, wait.handoff) in outcome.again
        if want is None or again:
            outcome.closed.append(wait.become(closed_at=act.at, why=_last(outcome), next_at=None))
        else:
            del wants[want.key]
            kept.append(_as_wanted(wait, want, outcome))
    kept += [open_wait(outcome, want) for want in wants.values()]
    alive = {w.id for w in kept}
    for wait in [w for w in kept if w.kind == "queue" and w.about not in alive]:
        kept.remove(wait)
        outcome.closed.append(wait.become(closed_at=act.at, why=_last(outcome), next_at=None))
    outcome.become(waits=tuple(kept))


def _last(outcome: "Outcome") -> str:
    return outcome.entries[-1].kind if outcome.entries else ""


def _as_wanted(wait: Wait, want: Want, outcome: "Outcome") -> Wait:
    """Keep a wait, but pause or resume it, hand it to another owner, or count "no movement" from now."""
    case, act = outcome.case, outcome.act
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    hours = hours_for(want.owner, handoff, case, act.town, act.at)
    if want.owner != wait.owner:
        wait = wait.become(owner=want.owner)
    named = outcome.named_due(wait.kind, wait.handoff, wait.subject)
    if want.paused and wait.paused_left is None:
        return wait.become(paused_left=hours.open_minutes(act.at, wait.due_at), next_at=None)
    if not want.paused and wait.paused_left is not None:
        return resumed(wait, hours, act.at)
    if named and named != wait.due_at:
        return _restart(wait, named, hours, outcome)
    moved = act.by is not None and bool(outcome.entries)
    if moved and (wait.kind.startswith(MOVEMENT) and wait.extended == 0):
        return _restart(wait, wait.policy.due(act.at, hours, wait.urgency), hours, outcome)
    return wait


def _restart(wait: Wait, due: datetime, hours: Hours, outcome: "Outcome") -> Wait:
    """Begin a wait's ladder again. Once a rung has rung, that is a new wait: a rung of one wait rings once."""
    act = outcome.act
    if wait.rung:
        outcome.closed.append(wait.become(closed_at=act.at, why=_last(outcome), next_at=None))
        wait = wait.become(id=act.fresh(), rung=0, told=())
    wait = wait.become(opened_at=act.at, due_at=due)
    return wait.become(next_at=_next(wait, hours))


def resumed(wait: Wait, hours: Hours, at: datetime) -> Wait:
    """Go on with what was left, at least one business day (HIGH: two open hours)."""
    least = "1bd" if wait.urgency is Urgency.NORMAL else "2bh"
    emergency = wait.urgency is Urgency.EMERGENCY
    due = max(
        hours.add_minutes(at, wait.paused_left or 0), Span.parse(least).after(at, hours, emergency=emergency)
    )  # fmt: skip
    wait = wait.become(due_at=due, paused_left=None)
    steps = wait.policy.steps(wait.urgency)
    while wait.rung < len(steps):
        following = _next(wait, hours)
        if following is None or following > at:
            return wait.become(next_at=following)
        wait = wait.become(rung=wait.rung + 1)
    return wait.become(next_at=due)


def rearm(outcome: "Outcome", before: Urgency) -> None:
    """Raising urgency: every open wait is due at the earlier of old and new. Lowering touches only new waits."""
    case, act = outcome.case, outcome.act
    if case.urgency.rank <= before.rank:
        return
    waits = []
    for wait in case.waits:
        if wait.kind in TRACK:
            waits.append(wait)  # by the law's clock, whatever the case's is
            continue
        hours = agency_of(wait, case, act.town).hours
        sooner = wait.policy.due(act.at, hours, case.urgency)
        fresh = wait.become(urgency=case.urgency)
        if wait.paused_left is not None:
            fresh = fresh.become(paused_left=min(wait.paused_left, hours.open_minutes(act.at, sooner)))
        elif sooner < wait.due_at:
            fresh = _restart(fresh, sooner, hours, outcome)
        elif wait.policy.steps(wait.urgency) != wait.policy.steps(case.urgency):
            # Late already, and another ladder from now on: it begins at once.
            fresh = _restart(fresh, max(wait.due_at, act.at), hours, outcome)
        elif wait.next_at is not None and (following := _next(fresh, hours)) is not None:
            fresh = fresh.become(next_at=min(wait.next_at, max(following, act.at)))
        waits.append(fresh)
    outcome.become(waits=tuple(waits))


def climbs_to(wait: Wait, case: Case, town: Town, at: datetime) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Show the rungs still to come as (relation, people): 「返事がないと」 on a card, 「過ぎたら」 on a page."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    steps = wait.policy.steps(wait.urgency)[wait.rung :]
    return tuple(
        (relation, reach(relation, case, town, at, handoff=handoff, owner=wait.owner))
        for r in steps
        for relation in r.to
    )
