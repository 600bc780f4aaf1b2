"""Decisions about the facts beside the stage: consent and basis, screening, issues and wishes, urgency, intervals, requests."""

from datetime import datetime, timedelta

from workflow import refusals as no
from workflow.calendar import Hours, Span
from workflow.case import Case, Consent, Handoff, Issue, Request, Wait
from workflow.handoff import basis_for, not_after_death, reader_of
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome
from workflow.path import edge
from workflow.people import LEAD, Role, Town
from workflow.promise import agency_of, into_hours, rearm
from workflow.who import codes, lead, stands, team

BASES = ("consent", "art106_6", "law", "art69", "life")
CONSENTS = ("full", "partial", "pending", "refused", "withdrawn", "not_sought")
SCREENINGS = ("continue", "refer", "inform")
LONGEST_INTERVAL = timedelta(days=93)
#: Nobody gives these a later day: what climbed into a queue, and the duties of a track but for its next look.
FIXED = frozenset({"queue", "report", "child_safety"})


def must_lead(case: Case, act: Act) -> None:
    """Refuse anybody but the lead and coordinators, and anything about a closed case or of somebody who has died."""
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if act.by is None or not stands("lead", act.by, case, act.town, act.at):
        raise no.LeadOnly(lead=case.lead)
    not_after_death(case)


def screen(case: Case, result: str, act: Act) -> Outcome:
    """見立て: go on here, refer, or inform only. The guard of ほぐし."""
    must_lead(case, act)
    out = Outcome(case, act).become(screening=result)
    return out.note("case.screened", result=result).done()


def consent(case: Case, state: str, agencies: tuple[str, ...], act: Act) -> Outcome:
    """同意: あり (every agency, or only those named), なし, 未, 撤回. Withdrawing ends what rested on it before the next read (I9).

    A 撤回 or なし ends held roles too; 未 and a narrower あり take back offers alone.
    """
    must_lead(case, act)
    ends_roles = state in ("withdrawn", "refused")
    if state == "full" and agencies:
        state = "partial"
    if state == "withdrawn" and agencies and case.consent and case.consent.state in ("full", "partial"):
        covered = tuple(act.town.agencies) if case.consent.state == "full" else case.consent.agencies
        agencies = tuple(a for a in covered if a not in agencies)
        state = "partial" if agencies else "withdrawn"
    out = Outcome(case, act).become(consent=Consent(state, agencies if state == "partial" else (), act.at))
    out.note("case.consent", case.consent.state if case.consent else None, state, agencies=list(agencies))
    _recheck_basis(out, out.case.asked)
    if ends_roles:
        _recheck_basis(out, tuple(h for h in out.case.held if h.duty != LEAD))
    return out.done()


def _recheck_basis(out: Outcome, handoffs: tuple[Handoff, ...]) -> None:
    """What rests on a consent that no longer covers its receiver is taken back politely (I9, I26).

    Whoever leads has the case as their own; what was held is the coordinator's to look after, as after any 取下げ of it.
    """
    own = out.act.town.staff[out.case.lead].agency if out.case.lead else out.act.town.body.code
    for handoff in handoffs:
        covered = [basis_for(out.case, handoff.to_agency, agency) for agency in (handoff.from_agency, own)]
        if handoff.basis != "consent":
            continue
        if other := next(filter(None, covered), ""):
            out.put(handoff.become(basis=other))  # it rests on what still allows it
            continue
        reader, coordinators = reader_of(handoff), codes(out.act.town.coordinators) if handoff.held else ()
        moved = out.move(handoff, "withdraw", data={"why": "consent"}, withdraw_asked=False)
        out.answer_need(moved, "withdrawn")
        out.stick(moved, "withdrawn", coordinator=handoff.held)
        out.tell("withdrawn", reader, handoff.sender, *coordinators, handoff=moved)


def basis(case: Case, agency: str, kind: str, act: Act) -> Outcome:
    """根拠: why something may be shared with one agency without consent (106条の6, 法令, 69条, 生命)."""
    must_lead(case, act)
    rest = tuple(b for b in case.bases if b[0] != agency)
    out = Outcome(case, act)
    if kind == "consent":
        known = case.consent.agencies if case.consent and case.consent.state == "partial" else ()
        out.become(consent=Consent("partial", tuple(dict.fromkeys((*known, agency))), act.at))
        if case.consent and case.consent.state == "full":
            out.become(consent=case.consent)
    else:
        out.become(bases=(*rest, (agency, kind)))
    return out.note("case.basis", agency=agency, basis=kind).done()


# -- issues


def note_issue(case: Case, concern: str, wish: str, act: Act, *, urgent: bool = False) -> Outcome:
    """困りごと: note a new issue, or set the person's wish for one that is there."""
    must_lead(case, act)
    out = Outcome(case, act)
    issue = case.issue(concern)
    if issue is None:
        add_issue(out, concern, wish, urgent=urgent)
    else:
        if issue.status in ("gap", "not_wanted", "settled"):
            issue = out.move_issue(issue, "raise")
        out.set_issue(issue.become(wish=wish, urgent=urgent or issue.urgent))
        out.note("issue.wish", issue=issue.no, concern=concern, wish=wish)
    return out.done()


def add_issue(out: Outcome, concern: str, wish: str = "unknown", *, urgent: bool = False) -> Issue:
    issue = Issue(no=len(out.case.issues) + 1, concern=concern, wish=wish, urgent=urgent)
    out.set_issue(issue)
    out.note("issue.note", None, "open", issue=issue.no, concern=concern, wish=wish)
    return issue


def judge_issue(case: Case, concern: str, event: str, act: Act) -> Outcome:
    """資源なし (mark_gap) · 望まない (not_wanted) · 解決 (settle) · もう一度 (raise).

    What the engine does by itself as handoffs come and go (hold, drop) nobody says. Raises NotFromHere.
    """
    must_lead(case, act)
    issue = case.issue(concern)
    if issue is None:
        raise no.NoSuchConcern(text=concern)
    if "lead" not in edge("issue", event, issue.status).actors:
        raise no.NotFromHere(graph="issue", state=issue.status, event=event)
    out = Outcome(case, act)
    wish = {"not_wanted": "not_wanted"}.get(event, issue.wish)
    out.move_issue(issue, event, wish=wish)
    _unstick_needs(out)
    return out.done()


def _unstick_needs(out: Outcome) -> None:
    """A need whose issues are all settled, unwanted or known gaps asks nobody any more."""
    open_issues = {i.no for i in out.case.issues if i.status in ("open", "held")}
    for need in out.case.needs:
        named = {n for h in out.case.of_duty(need.duty) for n in h.issues}
        if need.stuck and named and not named & open_issues:
            out.set_need(need.become(stuck=False, why=""))


# -- plans


def consented(case: Case) -> bool:
    """Say whether the person agrees to sharing, with every agency or with some."""
    return case.consent is not None and case.consent.state in ("full", "partial")


def no_conference(case: Case, act: Act) -> Outcome:
    """会議なし: the decision that no conference is needed is a decision too."""
    must_lead(case, act)
    return Outcome(case, act).become(conference="not_needed").note("case.conference", decision="not_needed").done()


def conference(case: Case, kind: str, when: datetime | None, act: Act) -> Outcome:
    """会議: 重層 is the coordinator's own and needs consent; 支援 asks the city to convene it (社福法106条の6).

    What is called then, and who is told, is workflow/conference.py's. Raises ConsentForConference.
    """
    _coordinator(act)
    if not case.open:
        raise no.CaseClosed(number=case.number)
    not_after_death(case)
    if kind != "support" and not consented(case):
        raise no.ConsentForConference(number=case.number)
    out = Outcome(case, act).become(conference="planned", conference_at=when)
    out.note("case.conference", decision="planned", at=when.isoformat() if when else None)
    if kind == "support":
        if not any(r.kind == "conference" for r in case.requests):
            _request(out, "conference", act.who)
        out.tell("conference_asked", *codes(act.town.officials))
    return out.done()


def convene(case: Case, act: Act, *, at: datetime | None = None) -> Outcome:
    """招集: the city convenes the conference that it was asked for, or by itself."""
    _official(act)
    if not case.open:
        raise no.CaseClosed(number=case.number)
    not_after_death(case)
    out = Outcome(case, act).become(requests=tuple(r for r in case.requests if r.kind != "conference"))
    return out.become(conference="planned", conference_at=at or case.conference_at).note("case.convened").done()


def decide_support(case: Case, act: Act) -> Outcome:
    """支援決定 by the city, of what was put before it; after the fact it settles the 事後承認."""
    _official(act)
    if case.decision == "made":
        raise no.AlreadyDone(event="decide", state="made")
    out = Outcome(case, act).become(decision="made")
    out.note("case.decision", case.decision or None, "made", after_the_fact=case.decision == "pending")
    return out.tell("decided", *lead(case, act.town), soft=True).done()


def set_interval(case: Case, span: str, act: Act, *, lengthen: bool = False) -> Outcome:
    """間隔: of the watcher's check-ins. Longer than a month only when a human agrees to the proposal after three 会えた."""
    must_lead(case, act)
    hours = act.town.body.hours
    asked = Span.parse(span).after(act.at, hours)
    # A month that ends on closed days is a month all the same.
    if asked > hours.next_open(act.at + LONGEST_INTERVAL):
        raise no.DayOutOfRange(latest=act.at + LONGEST_INTERVAL)
    longer = asked > hours.next_open(act.at + timedelta(days=31))
    proposed = [h for h in case.held if h.lengthen]
    if longer and not (lengthen and proposed):
        raise no.LengthenByProposalOnly()
    out = Outcome(case, act).become(interval=span)
    for handoff in proposed if lengthen else ():
        out.put(handoff.become(lengthen=False, calm=0, cadence=span))
    return out.note("case.interval", case.interval or None, span, agreed=lengthen).done()


def set_signs(case: Case, text: int, act: Act) -> Outcome:
    """サイン: what the watcher looks out for, sealed; the guard of 見守り."""
    must_lead(case, act)
    return Outcome(case, act).become(signs=text).note("case.signs", text=text).done()


def reviewed(case: Case, act: Act) -> Outcome:
    """見直し: the plan was looked at; the next review counts from now."""
    must_lead(case, act)
    out = Outcome(case, act).become(reviewed_at=act.at)
    return out.renew("plan_review").note("case.reviewed").done()


def end_coordination(case: Case, act: Act) -> Outcome:
    """区切り: 多機関協働 ends its part; case, lead and roles go on (counted)."""
    _coordinator(act)
    not_after_death(case)
    if case.coordination == "ended":
        raise no.AlreadyDone(event="end_coordination", state="ended")
    out = Outcome(case, act).become(coordination="ended").note("case.coordination_ended")
    return out.tell("coordination_ended", *team(case, act.town), soft=True).done()


# -- urgency and requests


def set_urgency(case: Case, urgency: Urgency, act: Act, *, code: str = "") -> Outcome:
    """急ぎ 緊急 通常: raised by anyone on the case, lowered by lead or coordinator with a code. Raising re-arms every wait."""
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if case.deceased:
        raise no.DeceasedQuiet()
    if urgency is case.urgency:
        raise no.AlreadyDone(event="urgency", state=urgency.value)
    if urgency.rank < case.urgency.rank:
        must_lead(case, act)
        if not code:
            raise no.ReasonMissing(word="通常", list="lowering")
    before = case.urgency
    out = Outcome(case, act).become(urgency=urgency)
    out.note("case.urgency", before.value, urgency.value, code=code)
    rearm(out, before)
    if urgency.rank > before.rank:
        first = codes(act.town.coordinators) if urgency is Urgency.EMERGENCY else ()
        out.tell("urgency_raised", *first, must=True, urgency=urgency.value)
        others = [p for p in team(case, act.town) if p not in first]
        out.tell("urgency_raised", *others, *(reader_of(h) for h in case.asked), urgency=urgency.value)
    else:
        out.tell("urgency_lowered", *team(case, act.town), soft=True, urgency=urgency.value)
    return out.done()


def request(case: Case, kind: str, act: Act, *, handoff: Handoff | None = None) -> Outcome:
    """相談 · 電話 · 気がかり about this case: the lead has until the end of the day."""
    if not case.open:
        raise no.CaseClosed(number=case.number)
    not_after_death(case)
    out = Outcome(case, act)
    made = _request(out, kind, act.who, handoff)
    out.tell(f"{kind}_wanted", *lead(case, act.town), handoff=handoff, person=act.who, request=made.no)
    return out.done()


def _request(out: Outcome, kind: str, by: str, handoff: Handoff | None = None) -> Request:
    no_ = max((r.no for r in out.case.requests), default=out.case.seq) + 1
    made = Request(no_, kind, by, out.act.at, handoff.id if handoff else None)
    out.become(requests=(*out.case.requests, made))
    out.note(f"request.{kind}", request=no_, by=by, handoff=handoff.no if handoff else None)
    return made


def talked(case: Case, act: Act, *, kinds: tuple[str, ...] = ("talk", "phone", "concern", "safety")) -> Outcome:
    """話しました: every such request of the case has been answered by a human."""
    must_lead(case, act)
    open_ = [r for r in case.requests if r.kind in kinds]
    if not open_:
        raise no.NothingToAnswer()
    out = Outcome(case, act).become(requests=tuple(r for r in case.requests if r not in open_))
    for one in open_:
        out.note("request.answered", request=one.no, what=one.kind)
    out.tell("request_answered", *(r.by for r in open_ if r.by in act.town.staff), soft=True)
    return out.done()


def extendable(case: Case, act: Act) -> list[Wait]:
    """List the waits whose day the speaker may move, the nearest first: all for a coordinator, the lead's own for the lead."""
    must_lead(case, act)
    coordinator = act.by is not None and act.by.has(Role.COORDINATOR)
    found = [
        w for w in case.waits if w.kind not in FIXED and w.paused_left is None and (coordinator or w.owner == "lead")
    ]
    return sorted(found, key=lambda w: w.due_at)


def hours_of(wait: Wait, case: Case, town: Town, at: datetime) -> Hours:
    """The business time of a wait: that of the agency which has to act."""
    return agency_of(wait, case, town).hours


def extend(case: Case, until: datetime, act: Act, *, wait_id: int | None = None) -> Outcome:
    """期限延長: the coordinator (or the lead, for their own next step) gives one wait a later day, at most twice.

    Without `wait_id` the nearest. Raises NothingToAnswer, ExtendedTwice, DayOutOfRange (93 days).
    """
    waits = extendable(case, act)
    wait = next((w for w in waits if wait_id in (None, w.id)), None)
    if wait is None:
        raise no.NothingToAnswer()
    until = into_hours(until, hours_of(wait, case, act.town, act.at), wait.urgency)
    if wait.extended >= 2:
        raise no.ExtendedTwice()
    if not act.at < until <= act.at + timedelta(days=93):
        raise no.DayOutOfRange(latest=act.at + timedelta(days=93))
    out = _move_due(case, wait.become(extended=wait.extended + 1, was=wait.due_at), until, act)
    return out.note("wait.extended", wait.due_at.isoformat(), until.isoformat(), wait=wait.kind).done()


def extend_back(case: Case, act: Act) -> Outcome:
    """What 取消 does to a 期限延長: the wait has its former day again."""
    wait = max((w for w in extendable(case, act) if w.was), key=lambda w: w.opened_at, default=None)
    if wait is None or wait.was is None:
        raise no.NothingToUndo()
    out = _move_due(case, wait.become(extended=wait.extended - 1, was=None), wait.was, act)
    return out.note("wait.extended_back", wait.due_at.isoformat(), wait.was.isoformat(), wait=wait.kind).done()


def _move_due(case: Case, changed: Wait, due: datetime, act: Act) -> Outcome:
    """Another due time for one wait; whoever was asked by it hears so."""
    out = Outcome(case, act).become(waits=tuple(changed if w.id == changed.id else w for w in case.waits))
    out.name_due(changed.kind, changed.handoff, due, changed.subject)
    handoff = case.handoff(changed.handoff) if changed.handoff else None
    if handoff:
        out.tell("extended", reader_of(handoff), handoff=handoff, soft=True, until=due.isoformat())
    return out


def interim(case: Case, act: Act) -> Outcome:
    """仮担当: the coordinating body takes the lead at once, visibly, for at most ten business days."""
    _coordinator(act)
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if case.interim:
        raise no.AlreadyDone(event="interim", state="interim")
    out = Outcome(case, act)
    before = case.lead
    held = case.lead_handoff
    if held:
        given = out.move(held, "release", result_at=held.result_at or act.at)
        out.answer_need(held, "released")
        out.tell("released_told", given.sender, handoff=given)
    if out.case.lead:
        out.to_body("coordinator")
    out.tell("interim", *((before,) if before else ()), why="coordinator")
    return out.done()


def _coordinator(act: Act) -> None:
    if act.by is None or not act.by.has(Role.COORDINATOR):
        raise no.CoordinatorsOnly()


def _official(act: Act) -> None:
    if act.by is None or not act.by.has(Role.OFFICIAL):
        raise no.OfficialsOnly()
