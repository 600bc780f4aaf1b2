"""Decisions that take a case along its path: opening, moving, suspending, closing, 逝去. No timer and no bot ever closes a case."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from workflow import refusals as no
from workflow.calendar import Span
from workflow.case import Case, Handoff, Proposal
from workflow.facts import add_issue, must_lead
from workflow.handoff import reader_of
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome
from workflow.path import edge, moves
from workflow.people import LEAD, WATCH, Role
from workflow.who import approvers, codes, stands, team

AT_ONCE = ("info_only", "mistake", "duplicate")
NO_CONTACT = "no_contact"


def _lead_accepted(case: Case) -> bool:
    return case.lead is not None


def _one_agency(case: Case) -> bool:
    held = {h.to_agency for h in case.held if h.duty not in (LEAD, WATCH)}
    return len(held) == 1


#: name of a guard → what it asks of the case. The others (reason_given, second_person …) are asked where the words are.
GUARDS: Mapping[str, Callable[[Case], bool]] = {
    "duplicates_shown": lambda c: c.duplicates_shown,
    "screened": lambda c: bool(c.screening),
    "consent_recorded": lambda c: c.consent is not None,
    "issues_have_wish": lambda c: bool(c.issues),
    "conference_decided": lambda c: bool(c.conference),
    "issues_covered": lambda c: bool(c.issues) and all(i.status != "open" for i in c.issues),
    "lead_accepted": _lead_accepted,
    "one_agency_holds_all": _one_agency,
    "watcher_accepted": lambda c: bool(c.watchers),
    "interval_set": lambda c: bool(c.interval),
    "warning_signs": lambda c: c.signs is not None,
    "no_urgent_issue": lambda c: not any(i.urgent and i.status in ("open", "held") for i in c.issues),
    "no_open_offer": lambda c: not c.asked,
    "no_accepted_handoff": lambda c: not c.held,
    "no_danger": lambda c: not (c.danger or c.abuse) and c.urgency is not Urgency.EMERGENCY,
    "tracks_ended": lambda c: not any(r.open for r in c.reports),
    "proposed": lambda c: c.proposal is not None,
    "no_objection": lambda c: c.proposal is None or not c.proposal.objections,
}

#: How a stage is asked for in words: 「移す 番号 支援」 is the event that leads there.
TOWARDS = {
    "intake": "reintake",
    "untangling": "untangle",
    "role_division": "divide",
    "support": "support",
    "watching": "watch",
}


def missing(case: Case, event: str) -> tuple[str, ...]:
    """Name every fact that an event still lacks, so that the refusal can name them all at once."""
    return tuple(g for g in edge("case", event, case.stage).guards if g in GUARDS and not GUARDS[g](case))


def open_case(case: Case, concerns: tuple[str, ...], act: Act, *, previous: Case | None = None) -> Outcome:
    """受付: the speaker leads from the first instant. `case` is the bare value: ids, number, household."""
    if act.by is None or not act.by.has(Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL):
        raise no.NotYours(actors=edge("case", "open", None).actors)
    if previous is not None and previous.open:
        raise no.NotFromHere(graph="case", state=previous.stage, event="open")
    out = Outcome(case, act).become(
        lead=act.who, stage_at=act.at, moved_at=act.at, previous=previous.id if previous else None
    )
    if previous is not None:  # what was confided stays so
        out.become(
            restricted=previous.restricted, overseer=previous.overseer, barred=previous.barred, flags=previous.flags
        )  # fmt: skip
    out.note("case.open", None, "intake", lead=act.who, agency=act.agency, urgency=case.urgency.value,
             previous=previous.number if previous else None)  # fmt: skip
    for concern in dict.fromkeys(concerns):
        add_issue(out, concern, urgent=case.urgency is Urgency.EMERGENCY)
    if previous and previous.lead and previous.lead in act.town.staff:
        out.tell("reconsulted", previous.lead, soft=True, previous=previous.number)
    if case.urgency is Urgency.EMERGENCY:
        out.tell("emergency_opened", *codes(act.town.coordinators), must=True)
    return out.done()


def move(case: Case, stage: str, act: Act, *, reason: str = "") -> Outcome:
    """移す: take the case to another stage, or say every fact that is missing.

    Raises FactsMissing (with the guards' names), NotFromHere, LeadOnly, ReasonMissing.
    """
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if case.deceased:
        raise no.DeceasedQuiet()
    event = "resume" if case.stage == "suspended" and stage == case.left else TOWARDS.get(stage, "")
    if stage == case.stage:
        raise no.AlreadyDone(event="move", state=stage)
    if event not in moves("case", case.stage):
        raise no.NotFromHere(graph="case", state=case.stage, event=event or stage)
    must_lead(case, act)
    if event == "reintake" and not reason:
        raise no.ReasonMissing(word="移す", list="reintake")
    lacking = missing(case, event)
    if lacking:
        raise no.FactsMissing(stage=stage, missing=lacking)
    out = Outcome(case, act)
    if event == "resume":
        return _resume(out)
    _arrive(out, event, reason)
    return out.done()


def _arrive(out: Outcome, event: str, reason: str) -> None:
    case = out.case
    source = case.stage
    out.move_case(event, **({"reason": reason} if reason else {}))
    if out.case.stage == "support":
        out.become(reviewed_at=out.act.at)
        if source == "role_division" and case.decision != "made":
            out.become(decision="pending")
            out.note("case.decision", case.decision or None, "pending")
    if out.case.stage == "untangling" and source in ("support", "watching", "role_division"):
        out.become(conference="", conference_at=None)
    if out.case.stage == "watching":
        for watcher in out.case.watchers:
            out.renew("checkin", watcher.id, _first_check(out, watcher))
    out.tell("moved", *team(out.case, out.act.town), soft=True, source=source, stage=out.case.stage)


def _first_check(out: Outcome, watcher: Handoff) -> datetime:
    """見守り begins: the first check-in is at most thirty days away."""
    hours = out.act.town.hours_at(watcher.to_agency)
    due = Span.parse(out.case.interval or "1mo").after(out.act.at, hours)
    return min(due, Span.parse("30d").after(out.act.at, hours))


# -- suspending and coming back


def propose_suspension(case: Case, recheck: datetime, act: Act, *, reason: str = "") -> Outcome:
    """中断: lead or coordinator proposes with a date to look again (a month, at most three); a second person approves."""
    must_lead(case, act)
    if "suspend" not in moves("case", case.stage):
        raise no.NotFromHere(graph="case", state=case.stage, event="suspend")
    if not act.at < recheck <= act.at + timedelta(days=93):
        raise no.DayOutOfRange(latest=act.at + timedelta(days=93))
    proposal = Proposal("suspend", act.who, act.at, reason, recheck=recheck, asked=True)
    out = _propose(case, proposal, act)
    out.note("case.suspension_proposed", recheck=recheck.isoformat())
    return out.done()


def _propose(case: Case, proposal: Proposal, act: Act) -> Outcome:
    if case.proposal:
        raise no.AlreadyDone(event="propose", state=case.proposal.kind)
    order = approvers(case, act.town, proposal)
    if not order:
        raise no.ProposedByLeadPlease(lead=case.lead)
    out = Outcome(case, act).become(proposal=proposal)
    if proposal.asked:
        out.tell("approve_please", order[0], proposal=proposal.kind, by=act.who)
    return out


def approve(case: Case, act: Act, *, notice_ends: datetime | None = None) -> Outcome:
    """承認: the second person's yes to a suspension or a closing; never before `notice_ends`, when everybody has had the notice.

    Raises NothingToAnswer, SecondPersonNeeded, DayOutOfRange (`notice`).
    """
    proposal = case.proposal
    if proposal is None:
        raise no.NothingToAnswer()
    if act.by is None or not stands("approver", act.by, case, act.town, act.at):
        raise no.SecondPersonNeeded(approvers=approvers(case, act.town))
    if proposal.kind == "suspend":
        return _suspend(case, proposal, act)
    if proposal.notice_until and not proposal.asked and act.at < proposal.notice_until:
        raise no.DayOutOfRange(latest=proposal.notice_until, notice=True)
    if notice_ends is not None and act.at < notice_ends:
        raise no.DayOutOfRange(latest=notice_ends, notice=True)
    return _close(case, proposal, act)


def _suspend(case: Case, proposal: Proposal, act: Act) -> Outcome:
    out = Outcome(case, act)
    out.move_case("suspend", recheck=proposal.recheck.isoformat() if proposal.recheck else None)
    out.become(proposal=None, recheck=proposal.recheck)
    for handoff in out.case.asked:
        reader = reader_of(handoff)
        out.move(handoff, "withdraw", data={"why": "suspended"})
        out.answer_need(handoff, "withdrawn")
        out.tell("withdrawn", reader, handoff.sender, handoff=handoff)
    for handoff in [h for h in out.case.held if h.state != "on_hold"]:
        out.move(handoff, "hold", until=proposal.recheck, reason="suspended", data={"why": "suspended"})
    out.tell(
        "suspended",
        *team(out.case, act.town),
        soft=True,
        recheck=proposal.recheck.isoformat() if proposal.recheck else "",
    )
    return out.done()


def _resume(out: Outcome) -> Outcome:
    """再開: back to the stage it left; the roles that the suspension put on hold come back."""
    out.move_case("resume")
    for handoff in [h for h in out.case.held if h.state == "on_hold" and h.reason == "suspended"]:
        out.move(handoff, "resume", until=None, reason="")
    out.tell("case_resumed", *team(out.case, out.act.town), soft=True, stage=out.case.stage)
    return out.done()


# -- closing


def propose_closing(case: Case, reason: str, act: Act, *, procedure: bool = False) -> Outcome:
    """終結: propose it (a second person approves after five business days' notice), or close at once where the path allows.

    情報提供のみ · 誤登録 · 重複 in INTAKE: the lead alone. 連絡不通 needs its logged procedure.
    """
    must_lead(case, act)
    if reason in AT_ONCE and case.stage == "intake":
        return _close_at_once(case, reason, act)
    if reason == NO_CONTACT and not procedure:
        raise no.FactsMissing(stage="closed", missing=("no_contact_procedure",))
    lacking = missing(case, "propose_closing")
    if lacking:
        raise no.FactsMissing(stage="closed", missing=lacking)
    hours = act.town.body.hours
    span = act.town.policies["closing_notice"]
    notice = span.due(act.at, hours, Urgency.NORMAL)
    proposal = Proposal("close", act.who, act.at, reason, notice_until=notice, procedure=procedure)
    out = _propose(case, proposal, act)
    out.move_case("propose_closing", reason=reason)
    out.tell("closing_proposed", *team(case, act.town), reason=reason, until=notice.isoformat())
    return out.done()


def _close_at_once(case: Case, reason: str, act: Act) -> Outcome:
    lacking = missing(case, "close_at_once")
    if lacking:
        raise no.FactsMissing(stage="closed", missing=lacking)
    out = Outcome(case, act)
    for handoff in case.asked:
        reader = reader_of(handoff)
        out.move(handoff, "withdraw", data={"why": "closed"})
        out.tell("withdrawn", reader, handoff.sender, handoff=handoff)
    out.move_case("close_at_once", reason=reason)
    out.become(closing_reason=reason, closed_at=act.at, proposal=None, requests=())
    _still(out)
    return out.done()


def _close(case: Case, proposal: Proposal, act: Act) -> Outcome:
    if not GUARDS["tracks_ended"](case):
        raise no.FactsMissing(stage="closed", missing=("tracks_ended",), number=case.number)
    out = Outcome(case, act)
    # Whoever sent what ends with the case hears of it too (I23).
    readers = dict.fromkeys((*team(case, act.town), *(h.sender for h in case.held)))
    for handoff in case.asked:
        reader = reader_of(handoff)
        out.move(handoff, "withdraw", data={"why": "closed"})
        if not case.deceased:
            out.tell("withdrawn", reader, handoff.sender, handoff=handoff)
    out.move_case("close", reason=proposal.reason)
    out.become(closing_reason=proposal.reason, closed_at=act.at, requests=())
    for handoff in out.case.held:
        if handoff.state == "accepted":
            handoff = out.move(handoff, "connect", connected_at=handoff.connected_at)
        out.move(handoff, "complete", result_at=handoff.result_at or act.at, data={"why": "closed"})
    _still(out)
    out.tell("closed", *readers, soft=True, reason=proposal.reason)
    return out.done()


def _still(out: Outcome) -> None:
    """A closed case asks nothing of anyone."""
    out.become(proposal=None, needs=tuple(n.become(stuck=False) for n in out.case.needs))


def object_(case: Case, act: Act) -> Outcome:
    """気がかり during the notice stops the closing; whoever has one needs no reason."""
    if case.proposal is None or case.proposal.kind != "close" or case.deceased:
        raise no.NothingToAnswer()
    out = Outcome(case, act)
    proposer = case.proposal.by
    out.become(proposal=None)
    out.note("case.objection", by=act.who, reason=case.proposal.reason)
    out.tell("closing_stopped", proposer, *team(case, act.town), person=act.who)
    return out.done()


def withdraw_proposal(case: Case, act: Act) -> Outcome:
    """Take a proposal back: what 取消 does to 終結 and 中断."""
    must_lead(case, act)
    if case.proposal is None:
        raise no.NothingToAnswer()
    out = Outcome(case, act).become(proposal=None).note("case.proposal_withdrawn", what=case.proposal.kind)
    return out.tell("proposal_withdrawn", *team(case, act.town), soft=True).done()


def notice_ends(until: datetime, letters: Iterable[tuple[str, datetime]], act: Act) -> datetime:
    """Count the notice of a closing from its delivery (workflow.md §1): `letters` are (state, moment) of each on its way.

    One that has left counts from then, one that has not yet from now; an unknown or failed one gives everybody the time once more.
    """
    policy, hours = act.town.policies["closing_notice"], act.town.body.hours

    def over(since: datetime) -> datetime:
        return policy.due(since, hours, Urgency.NORMAL)

    found = [until]
    for state, at in letters:
        counted = over(max(at, act.at) if state in ("pending", "leased") else at)
        found.append(over(counted) if state in ("unknown", "failed") else counted)
    return max(found)


def prolong_notice(case: Case, until: datetime, act: Act) -> Outcome:
    """The clock: somebody has not had the notice yet, or may not have; it goes on, and the proposer hears why."""
    proposal = case.proposal
    if proposal is None or proposal.notice_until is None or proposal.asked:
        raise no.NothingToAnswer()
    out = Outcome(case, act).become(proposal=proposal.become(notice_until=until))
    out.note("case.notice_prolonged", proposal.notice_until.isoformat(), until.isoformat())
    out.renew("closing_notice", None, until)
    return out.tell("notice_prolonged", proposal.by, soft=True, until=until.isoformat()).done()


def notice_over(out: Outcome) -> None:
    """The clock: five business days without an objection; the approver is asked. Nothing closes by itself (I5)."""
    proposal = out.case.proposal
    if proposal is None or proposal.asked:
        return
    out.become(proposal=proposal.become(asked=True))
    out.note("case.notice_over")
    first = approvers(out.case, out.act.town)[:1]
    out.tell("approve_please", *first, proposal="close", by=proposal.by, reason=proposal.reason)


def record_death(case: Case, act: Act) -> Outcome:
    """逝去: in one transaction every wait and offer ends and the closing is proposed; its approval is the one open wait (I27)."""
    must_lead(case, act)
    out = Outcome(case, act)
    for handoff in case.asked:
        out.move(handoff, "withdraw", data={"why": "deceased"})
    proposal = Proposal("close", act.who, act.at, "deceased", asked=True)
    if not approvers(case, act.town, proposal):
        raise no.ProposedByLeadPlease(lead=case.lead)
    out.become(deceased=True, proposal=proposal, requests=())
    out.become(needs=tuple(n.become(stuck=False) for n in out.case.needs))
    out.note("case.death_recorded")
    out.tell("death", *team(case, act.town))
    out.tell("approve_please", approvers(out.case, act.town)[0], proposal="close", by=act.who, reason="deceased")
    return out.done()
