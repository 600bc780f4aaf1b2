"""Decisions about a handoff (つなぎ): offering, answering, holding, ending. Offering moves nothing; only acceptance does."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from workflow import refusals as no
from workflow.case import Asked, Case, Handoff, Proxy
from workflow.outcome import Act, Outcome, Reader
from workflow.path import ENDED, edge, moves
from workflow.people import LEAD, WATCH, Agency, Duty, Role, Town
from workflow.promise import hours_for, into_hours, resumed
from workflow.who import codes, lead, receivers, stands, team

#: A decliner is not asked again for the same need before this (workflow.md §2).
SKIPPED_FOR = timedelta(days=30)


# -- may this be shared with them at all


def basis_for(case: Case, agency: str, lead_agency: str) -> str | None:
    """Find why something may be shared with this agency: consent art106_6 law art69 life own; None: not at all."""
    if agency == lead_agency:
        return "own"
    consent = case.consent
    if consent and (consent.state == "full" or (consent.state == "partial" and agency in consent.agencies)):
        return "consent"
    return next((basis for a, basis in case.bases if a == agency), None)


def _lead_agency(case: Case, act: Act) -> str:
    return act.town.staff[case.lead].agency if case.lead else act.town.body.code


def own_agencies(case: Case, act: Act) -> tuple[str, ...]:
    """The lead's agency and the speaker's own: they need no basis."""
    mine = (act.agency,) if act.agency else ()
    return (_lead_agency(case, act), *mine)


def _check(case: Case, handoff: Handoff, event: str, act: Act) -> None:
    """Refuse unless the speaker stands in one of the edge's relations. The state is judged first: who is late hears why."""
    settled(case, handoff, event, act)
    if event in ("connect", "hold", "resume"):
        not_after_death(case)
    actors = edge("handoff", event, handoff.state).actors
    if act.by is None:
        if "clock" not in actors:
            raise no.NotYours(actors=actors)
        return
    if not any(stands(a, act.by, case, act.town, act.at, handoff=handoff) for a in actors):
        if actors == ("coordinator",):
            raise no.CoordinatorsOnly()
        raise no.NotYours(actors=actors, holder=handoff.holder, agency=handoff.to_agency)


def not_after_death(case: Case) -> None:
    """After 逝去 nothing is asked of anyone but the closing's approver (I27); what is held may still be laid down."""
    if case.deceased:
        raise no.DeceasedQuiet()


def settled(case: Case, handoff: Handoff, event: str, act: Act) -> None:
    """Answer a press on something already settled in words of what happened, before anything else is looked at."""
    if event in moves("handoff", handoff.state):
        return
    me = act.who
    if handoff.held and event in ("accept", "consider", "ask", "waitlist", "accept_if", "decline", "withdraw"):
        if handoff.holder == me:
            raise no.AlreadyDone(event=event, state=handoff.state)
        raise no.AlreadyTaken(holder=handoff.holder, agency=handoff.to_agency, at=handoff.accepted_at)
    if handoff.state in ENDED and event in (
        "accept",
        "consider",
        "ask",
        "waitlist",
        "accept_if",
        "decline",
        "place_free",
    ):
        beside = [h for h in case.of_duty(handoff.duty) if h.held and handoff.reason == "stood_down"]
        winner = next((h for h in beside if h.batch == handoff.batch), None) or next(iter(beside), None)
        if winner:
            raise no.AlreadyTaken(holder=winner.holder, agency=winner.to_agency, at=winner.accepted_at)
        raise no.OfferEnded(state=handoff.state, agency=handoff.to_agency)
    raise no.NotFromHere(graph="handoff", state=handoff.state, event=event)


# -- offering


def offer(
    case: Case, duty: Duty, agencies: Iterable[Agency], act: Act, *, to_staff: str | None = None, keeps: str = "",
    issues: tuple[int, ...] | None = None, again: bool = False, why: str = "", text: int | None = None,
) -> Outcome:  # fmt: skip
    """Ask one agency (or several: 一斉依頼, the first acceptance wins) for a duty.

    `why` is a code and `text` a sealed text: why the lead is to change (担当替え); the present lead is told.
    Raises CannotBeAsked, NoBasis, AlreadyAsked, DeclinedLately, OwnerAlready, LeadOnly.
    """
    out = Outcome(case, act)
    named = tuple(agencies)
    asked = tuple(a for a in named if a.code not in case.barred) or named  # of several whoever can be asked
    batch = act.fresh() if len(asked) > 1 else None
    for agency in asked:
        _offer_one(out, duty, agency, to_staff, keeps, issues, batch, again, alone=len(asked) == 1, why=why, text=text)
    return out.done()


def _offer_one(
    out: Outcome, duty: Duty, agency: Agency, to_staff: str | None, keeps: str, issues: tuple[int, ...] | None,
    batch: int | None, again: bool, *, alone: bool, why: str = "", text: int | None = None,
) -> Handoff:  # fmt: skip
    case, act, town = out.case, out.act, out.act.town
    open_for_offers(case, act)
    if agency.code in case.barred:
        raise no.CannotBeAsked()
    basis = next((b for own in own_agencies(case, act) if (b := basis_for(case, agency.code, own))), None)
    if basis is None:
        raise no.NoBasis(agency=agency.code, duty=duty.code, consent=case.consent.state if case.consent else "")
    need = case.need(duty.code)
    if any(h.to_agency == agency.code and h.asked and h.to_staff == to_staff for h in case.of_duty(duty.code)):
        raise no.AlreadyAsked(agency=agency.code, duty=duty.code)
    if duty.code == LEAD and to_staff and to_staff == case.lead:
        raise no.OwnerAlready(holder=to_staff)
    if any(h.to_agency == agency.code and h.held for h in case.of_duty(duty.code)) and duty.code not in (LEAD, WATCH):
        raise no.OwnerAlready(agency=agency.code, duty=duty.code)
    others = [
        a
        for a in town.candidates(duty.code, case.district)
        if a.code != agency.code and a.code not in case.barred and not skipped(case, duty.code, a.code, act.at)
    ]
    last = alone and not others
    if skipped(case, duty.code, agency.code, act.at) and not again and others:
        raise no.DeclinedLately(agency=agency.code, duty=duty.code, candidates=tuple(a.code for a in others[:3]))
    former = any(a.agency == agency.code and a.answer == "released" for a in need.asked)
    handoff = Handoff(
        id=act.fresh(), no=len(case.handoffs) + 1, duty=duty.code, state="offered",
        sender=act.who, from_agency=act.agency or _lead_agency(case, act), to_agency=agency.code,
        offered_at=act.at, basis=basis, to_staff=to_staff, batch=batch,
        issues=issues if issues is not None else preselected(case, duty, agency, town),
        meets_person=duty.meets_person, keeps=keeps, last_candidate=last, weekly=agency.decides == "weekly", why=why,
    )  # fmt: skip
    out.put(handoff)
    out.set_need(
        need.become(
            asked=(*need.asked, Asked(agency.code, act.at)), stuck=False, why="", bounced=need.bounced or former
        )
    )
    out.note(
        "handoff.offer", None, "offered", handoff=handoff.no, duty=duty.code, agency=agency.code, person=to_staff,
        basis=basis, batch=batch, **({"why": why} if why else {}), **({"text": text} if text else {}),
    )  # fmt: skip
    reader = Reader("staff", to_staff) if to_staff else Reader("room", agency.code)
    emergency = [*codes(town.heads(agency.code)), *codes(town.coordinators)] if case.urgency == "emergency" else []
    out.tell("offer", reader, *emergency, handoff=handoff)
    if duty.code == LEAD and case.lead:
        out.tell("reassigning", case.lead, handoff=handoff, soft=True)
    return handoff


def open_for_offers(case: Case, act: Act) -> None:
    """Refuse an offer where the path allows none, or from somebody who may not make one."""
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if case.deceased:
        raise no.DeceasedQuiet()
    if act.by is None or not any(
        stands(a, act.by, case, act.town, act.at) for a in edge("handoff", "offer", None).actors
    ):
        raise no.LeadOnly(lead=case.lead)


def preselected(case: Case, duty: Duty, agency: Agency, town: Town) -> tuple[int, ...]:
    """Issues that share a field with the duty, or with the agency where the duty has none: a human may change them."""
    fields = set(duty.fields or agency.fields)
    if duty.code in (LEAD, WATCH):
        return ()
    return tuple(i.no for i in case.issues if i.status in ("open", "gap") and _fields_of(i.concern, town) & fields)


def _fields_of(concern: str, town: Town) -> set[str]:
    """The fields of a concern; one that the town has dropped is its own."""
    known = town.concerns.get(concern)
    return set(known.fields) if known else {concern}


def skipped(case: Case, duty: str, agency: str, at: datetime) -> bool:
    """Say whether this agency said no to the same need within thirty days (不足情報 does not count)."""
    return any(
        a.agency == agency and a.answered_at and at - a.answered_at < SKIPPED_FOR and a.code != "missing_information"
        for a in case.need(duty).refused_by()
    )


def next_candidates(case: Case, duty: str, act: Act, basis_only: bool = False) -> tuple[Agency, ...]:
    """Agencies to propose next: field and district first, decliners and those being asked left out."""
    busy = {h.to_agency for h in case.of_duty(duty) if h.asked or h.held} | set(case.barred)
    return tuple(
        a for a in act.town.candidates(duty, case.district)
        if a.code not in busy and not skipped(case, duty, a.code, act.at)
        and (not basis_only or any(basis_for(case, a.code, own) for own in own_agencies(case, act)))
    )  # fmt: skip


# -- the receiver answers


def accept(case: Case, handoff: Handoff, act: Act, *, person: str | None = None, proxy: Proxy | None = None) -> Outcome:
    """Take the duty, for oneself or (a head) for a member. While the row says offered an acceptance counts, even past due.

    Raises AlreadyTaken (somebody was first), OfferEnded, NotYours.
    """
    if proxy is None:
        _check(case, handoff, "accept", act)
    else:
        settled(case, handoff, "accept", act)
    holder = person or act.who
    if person and act.by and person != act.who and proxy is None and not _may_assign(handoff, act):
        raise no.HeadsOnly()
    out = Outcome(case, act)
    begin(out, handoff, "accept", holder, proxy)
    return out.done()


def _may_assign(handoff: Handoff, act: Act) -> bool:
    return act.by is not None and (act.by.heads(handoff.to_agency) or act.by.has(Role.COORDINATOR))


def begin(out: Outcome, handoff: Handoff, event: str, holder: str, proxy: Proxy | None = None) -> Handoff:
    """Write down an acceptance: the holder is named, the others of a 一斉依頼 are stood down, the sender hears."""
    act, before = out.act, lead(out.case, out.act.town)
    taken = out.move(
        handoff, event, holder=holder, accepted_at=act.at, until=None, proxy=proxy or handoff.proxy,
        data={"holder": holder, **({"proxy": proxy.means, "by": proxy.by} if proxy else {})},
    )  # fmt: skip
    _stand_down(out, taken)
    out.tell("accepted", taken.sender, handoff=taken, holder=holder)
    if holder != act.who:
        out.tell(
            "assigned" if proxy is None else "proxy_told",
            holder,
            handoff=taken,
            proxy=proxy.means if proxy else "",
            by=act.who,
        )
    if taken.duty == LEAD:
        former = tuple(p for p in before if p not in (taken.sender, holder))
        out.tell(
            "lead_changed",
            *dict.fromkeys((*former, *_others_on_team(out, taken))),
            handoff=taken,
            soft=True,
            lead=holder,
        )
    return taken


def _others_on_team(out: Outcome, taken: Handoff) -> tuple[str, ...]:
    return tuple(p for p in team(out.case, out.act.town) if p not in (taken.sender, taken.holder))


def _stand_down(out: Outcome, taken: Handoff) -> None:
    """The first acceptance wins; the others are thanked (一斉依頼)."""
    if taken.batch is None:
        return
    for other in [h for h in out.case.handoffs if h.batch == taken.batch and h.asked]:
        out.move(other, "withdraw", reason="stood_down", data={"why": "stood_down"})
        out.answer_need(other, "withdrawn")
        out.tell("stood_down", reader_of(other), handoff=other, agency=taken.to_agency)


def reader_of(handoff: Handoff) -> Reader:
    """Where the asked side reads: the person named or holding, else the agency's room."""
    person = handoff.holder or handoff.to_staff
    return Reader("staff", person) if person else Reader("room", handoff.to_agency)


def consider(case: Case, handoff: Handoff, until: datetime | None, act: Act, *, proxy: Proxy | None = None) -> Outcome:
    """Ask for time until a date, once, within the decision wait (which is also the default)."""
    if proxy is None:
        _check(case, handoff, "consider", act)
    if handoff.considered:
        raise no.ConsideredAlready()
    policy = act.town.policies["decide_weekly" if handoff.weekly else "decide"]
    hours = act.town.hours_at(handoff.to_agency)
    latest = policy.due(act.at, hours, case.urgency)
    if until is not None and not act.at < until <= hours.end_of_day(latest):
        raise no.DayOutOfRange(latest=latest)
    out = Outcome(case, act)
    until = into_hours(until, hours, case.urgency) if until else latest
    moved = out.move(handoff, "consider", until=until, considered=True, proxy=proxy, data={"until": until.isoformat()})
    out.tell("considering", moved.sender, handoff=moved, soft=True)
    return out.done()


def ask(case: Case, handoff: Handoff, missing: str, act: Act, *, text: int | None = None) -> Outcome:
    """Ask the sender one thing (a code of [[missing]]); the receiver's clock stands still meanwhile."""
    _check(case, handoff, "ask", act)
    if handoff.questions >= 2:
        raise no.AskedTwiceAlready()
    out = Outcome(case, act)
    moved = out.move(
        handoff, "ask", question=missing, questions=handoff.questions + 1, text=text, data={"missing": missing}
    )
    out.tell("question", moved.sender, handoff=moved, missing=missing)
    return out.done()


def answer(case: Case, handoff: Handoff, act: Act, *, text: int | None = None) -> Outcome:
    """Answer the receiver's question; their clock goes on with what was left."""
    _check(case, handoff, "answer", act)
    out = Outcome(case, act)
    moved = out.move(handoff, "answer", question="", text=text, data={"text": text})
    out.tell("answered", reader_of(moved), handoff=moved)
    return out.done()


def waitlist(case: Case, handoff: Handoff, until: datetime | None, act: Act) -> Outcome:
    """Not now, but later: a review date, at most three months away."""
    _check(case, handoff, "waitlist", act)
    hours = act.town.hours_at(handoff.to_agency)
    until = until or act.town.policies["waitlist"].due(act.at, hours, case.urgency)
    within(act, until, days=92)
    out = Outcome(case, act)
    moved = out.move(handoff, "waitlist", until=until, data={"until": until.isoformat()})
    out.tell("waitlisted", moved.sender, handoff=moved)
    return out.done()


def within(act: Act, until: datetime, *, days: int) -> None:
    if not act.at < until <= act.at + timedelta(days=days):
        raise no.DayOutOfRange(latest=act.at + timedelta(days=days))


def place_free(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """A place has become free: the offer waits for its answer again."""
    _check(case, handoff, "place_free", act)
    out = Outcome(case, act)
    moved = out.move(handoff, "place_free", until=None)
    out.tell("place_free", moved.sender, handoff=moved)
    return out.done()


def accept_if(case: Case, handoff: Handoff, condition: str, act: Act) -> Outcome:
    """Accept on a condition (a code) that the sender agrees to or not."""
    _check(case, handoff, "accept_if", act)
    out = Outcome(case, act)
    moved = out.move(
        handoff, "accept_if", condition=condition, holder=None, data={"condition": condition, "by": act.who}
    )
    moved = out.put(moved.become(to_staff=moved.to_staff or act.who))
    out.tell("conditional", moved.sender, handoff=moved, condition=condition)
    return out.done()


def agree(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """Agree to the condition: the person who set it holds the duty."""
    _check(case, handoff, "agree", act)
    out = Outcome(case, act)
    holder = handoff.to_staff or receivers(handoff, act.town, act.at)[0]
    moved = begin(out, handoff, "agree", holder)
    out.notices = [n for n in out.notices if n.kind != "assigned"]
    out.tell("agreed", holder, handoff=moved)
    return out.done()


def without(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """Ask for the same without the condition (条件なしで)."""
    _check(case, handoff, "without", act)
    out = Outcome(case, act)
    moved = out.move(handoff, "without", condition="", until=None)
    if (stopped := case.wait("decide", handoff.id)) and stopped.paused_left is not None:
        # They were deciding when they named the condition: they have what was left of that.
        hours = act.town.hours_at(handoff.to_agency)
        out.name_due("react", moved.id, resumed(stopped, hours, act.at).due_at)
    out.tell("without", reader_of(moved), handoff=moved)
    return out.done()


def decline(
    case: Case, handoff: Handoff, code: str, act: Act, *, proxy: Proxy | None = None, text: int | None = None
) -> Outcome:
    """Say no with a code, and yield the next step in the same transaction (I14)."""
    if proxy is None:
        _check(case, handoff, "decline", act)
    else:
        settled(case, handoff, "decline", act)
    out = Outcome(case, act)
    moved = out.move(handoff, "decline", reason=code, proxy=proxy, text=text, data={"code": code})
    out.answer_need(moved, "declined", code=code)
    need = out.stick(moved, "declined")
    to = (moved.sender, *_present_lead(case, moved), *(codes(act.town.coordinators) if need.to_coordinator else ()))
    out.tell("declined", *to, handoff=moved, code=code, hops=need.hops)
    return out.done()


def _present_lead(case: Case, handoff: Handoff) -> tuple[str, ...]:
    """Whoever leads hears what becomes of an offer of their lead, whoever made it."""
    return (case.lead,) if handoff.duty == LEAD and case.lead else ()


def withdraw(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """Take an offer back. After acceptance that is the coordinator's; a sender's wish becomes the coordinator's wait."""
    held = handoff.held
    coordinator = act.by is not None and act.by.has(Role.COORDINATOR)
    if held and not coordinator and act.by and stands("sender", act.by, case, act.town, act.at, handoff=handoff):
        return _ask_withdrawal(case, handoff, act)
    _check(case, handoff, "withdraw", act)
    out = Outcome(case, act)
    readers: tuple[str | Reader, ...] = (reader_of(handoff), handoff.sender, *_present_lead(case, handoff))
    moved = out.move(handoff, "withdraw", withdraw_asked=False)
    out.answer_need(moved, "withdrawn")
    if held:
        out.stick(moved, "withdrawn", coordinator=True)
    out.tell("withdrawn", *readers, handoff=moved)
    return out.done()


def _ask_withdrawal(case: Case, handoff: Handoff, act: Act) -> Outcome:
    not_after_death(case)
    if handoff.withdraw_asked:
        raise no.AlreadyDone(event="withdraw", state=handoff.state)
    out = Outcome(case, act)
    moved = out.put(handoff.become(withdraw_asked=True))
    out.note("handoff.withdrawal_asked", handoff=moved.no, duty=moved.duty)
    out.tell("withdrawal_asked", *codes(act.town.coordinators), handoff=moved)
    return out.done()


def keep(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """The coordinator lets an accepted duty stand although its sender wished it back."""
    if act.by is None or not act.by.has(Role.COORDINATOR):
        raise no.CoordinatorsOnly()
    out = Outcome(case, act)
    moved = out.put(handoff.become(withdraw_asked=False))
    out.note("handoff.withdrawal_refused", handoff=moved.no, duty=moved.duty)
    out.tell("withdrawal_refused", moved.sender, handoff=moved)
    return out.done()


def mistake(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """誤登録: it should not have been."""
    _check(case, handoff, "mistake", act)
    out = Outcome(case, act)
    held = handoff.held
    readers = (reader_of(handoff), handoff.sender)
    moved = out.move(handoff, "mistake")
    out.answer_need(moved, "mistake")
    if held:
        out.stick(moved, "mistake", coordinator=True)
    out.tell("mistake", *readers, handoff=moved)
    return out.done()


def expire(out: Outcome, handoff: Handoff) -> Handoff:
    """回答なし: the clock alone does this, never for the last candidate. The next candidate is proposed in the same ring.

    Raises NotYours for a person, NotFromHere.
    """
    _check(out.case, handoff, "expire", out.act)
    if handoff.last_candidate:
        raise no.NotFromHere(graph="handoff", state=handoff.state, event="expire")
    moved = out.move(handoff, "expire")
    out.answer_need(moved, "expired")
    need = out.stick(moved, "expired")
    town = out.act.town
    candidates = tuple(a.code for a in next_candidates(out.case, moved.duty, out.act, basis_only=True)[:3])
    out.tell(
        "expired",
        moved.sender,
        *_present_lead(out.case, moved),
        *codes(town.coordinators),
        handoff=moved,
        must=True,
        candidates=candidates,
        hops=need.hops,
    )
    out.tell("expired_receiver", reader_of(moved), handoff=moved, soft=True)
    return moved


def late_accept(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """Somebody accepts what has ended: thanked, told to the coordinator, never a resurrection (workflow.md §2)."""
    if handoff.state not in ("expired", "withdrawn") or act.who not in receivers(handoff, act.town, act.at):
        raise no.OfferEnded(state=handoff.state, agency=handoff.to_agency)
    not_after_death(case)
    if handoff.late_accept:
        raise no.AlreadyDone(event="accept", state=handoff.state)
    out = Outcome(case, act)
    moved = out.put(handoff.become(late_accept=act.who))
    out.note("handoff.late_acceptance", handoff=moved.no, duty=moved.duty, by=act.who)
    out.tell("late_accept", *codes(act.town.coordinators), moved.sender, handoff=moved, person=act.who)
    return out.done()


def take_late(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """「このままお願いする」: a new offer, already accepted, in one transaction."""
    if not handoff.late_accept:
        raise no.NoOfferWaiting()
    if any(h.held for h in case.of_duty(handoff.duty)) and handoff.duty not in (LEAD, WATCH):
        winner = next(h for h in case.of_duty(handoff.duty) if h.held)
        raise no.AlreadyTaken(holder=winner.holder, agency=winner.to_agency, at=winner.accepted_at)
    town = act.town
    if (
        handoff.duty not in town.duties
        or handoff.late_accept not in town.staff
        or handoff.to_agency not in town.agencies
    ):
        raise no.NoOfferWaiting()  # what was asked for, or whoever said yes, has left the town meanwhile
    return offer_accepted(
        case,
        town.duties[handoff.duty],
        town.agencies[handoff.to_agency],
        handoff.late_accept,
        act,
        issues=handoff.issues,
    )


def offer_accepted(
    case: Case, duty: Duty, agency: Agency, holder: str, act: Act, *, issues: tuple[int, ...] | None = None,
    proxy: Proxy | None = None,
) -> Outcome:  # fmt: skip
    """Offer and accept in one transaction: a role the speaker's own agency takes, or a decision already made together."""
    out = Outcome(case, act)
    made = _offer_one(out, duty, agency, holder, "", issues, None, again=True, alone=True)
    out.notices.clear()
    begin(out, made, "accept", holder, proxy)
    out.notices = [n for n in out.notices if n.kind != "accepted"]
    for other in [h for h in out.case.of_duty(duty.code) if h.asked and duty.code != WATCH]:
        readers = reader_of(other)
        out.move(other, "withdraw", reason="stood_down", data={"why": "taken"})
        out.answer_need(other, "withdrawn")
        out.tell("stood_down", readers, handoff=other, agency=agency.code)
        out.tell("withdrawn", other.sender, handoff=other)
    return out.done()


# -- the holder


def connect(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """つながった: they have met (or, where the duty does not meet the person, reported first)."""
    _check(case, handoff, "connect", act)
    out = Outcome(case, act)
    result_at = None if handoff.meets_person else act.at  # 助言, 後方支援: the first report is the result too
    moved = out.move(handoff, "connect", connected_at=act.at, attempts=0, result_at=result_at)
    out.tell("connected", moved.sender, handoff=moved)
    return out.done()


def attempt(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """会えず before first contact: an attempt counts; the third lets the coordinator propose outreach."""
    if handoff.state != "accepted":
        raise no.NotFromHere(graph="handoff", state=handoff.state, event="attempt")
    _must_hold(case, handoff, act)
    not_after_death(case)
    out = Outcome(case, act)
    moved = out.put(handoff.become(attempts=handoff.attempts + 1))
    out.note("handoff.attempt", handoff=moved.no, duty=moved.duty, attempts=moved.attempts)
    out.renew("first_contact", moved.id)
    if moved.attempts >= 3:
        out.tell(
            "outreach_proposed", *codes(act.town.coordinators), moved.sender, handoff=moved, attempts=moved.attempts
        )
    return out.done()


def _must_hold(case: Case, handoff: Handoff, act: Act) -> None:
    if act.by is None or not stands("holder", act.by, case, act.town, act.at, handoff=handoff):
        raise no.NotYours(actors=("holder",), holder=handoff.holder, agency=handoff.to_agency)


def hold(case: Case, handoff: Handoff, until: datetime | None, act: Act) -> Outcome:
    """一時休み until a date, at most three months away."""
    _check(case, handoff, "hold", act)
    if until is None:
        raise no.WordsMissing(what="day")
    within(act, until, days=92)
    out = Outcome(case, act)
    moved = out.move(handoff, "hold", until=until, data={"until": until.isoformat()})
    out.tell("on_hold", *_lead_and_sender(out, moved), handoff=moved, soft=True)
    return out.done()


def resume(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """再開: go on from where it was."""
    _check(case, handoff, "resume", act)
    out = Outcome(case, act)
    moved = out.move(handoff, "resume", until=None)
    out.tell("resumed", *_lead_and_sender(out, moved), handoff=moved, soft=True)
    return out.done()


def _lead_and_sender(out: Outcome, handoff: Handoff) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*lead(out.case, out.act.town), handoff.sender)))


def complete(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """役割終了: done what was asked."""
    return _end(case, handoff, "complete", act)


def fail(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """つながらず: contact was not possible."""
    return _end(case, handoff, "fail", act)


def release(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """戻す: back to the coordinator, who names the next step."""
    return _end(case, handoff, "release", act)


def _end(case: Case, handoff: Handoff, event: str, act: Act) -> Outcome:
    _check(case, handoff, event, act)
    out = Outcome(case, act)
    moved = out.move(handoff, event, result_at=handoff.result_at or act.at, withdraw_asked=False)
    if event != "complete":
        out.answer_need(moved, moved.state)
        out.stick(moved, moved.state, coordinator=event == "release")
    to = _lead_and_sender(out, moved)
    if event == "release":
        to = tuple(dict.fromkeys((*codes(act.town.coordinators), *to)))
    out.tell(f"{moved.state}_told", *to, handoff=moved, must=event != "complete", soft=event == "complete")
    return out.done()


# -- inside the agency


def assign(case: Case, handoff: Handoff, person: str, act: Act) -> Outcome:
    """割当: a head gives a duty to a member. On an open offer that accepts for them."""
    if handoff.asked:
        return accept(case, handoff, act, person=person)
    if not handoff.held:
        raise no.OfferEnded(state=handoff.state, agency=handoff.to_agency)
    if not _may_assign(handoff, act):
        raise no.HeadsOnly()
    if handoff.holder == person:
        raise no.OwnerAlready(holder=person)
    not_after_death(case)
    out = Outcome(case, act)
    before = handoff.holder
    moved = out.put(handoff.become(holder=person, held_by_head=False))
    out.note("handoff.assigned", handoff=moved.no, duty=moved.duty, source=before, holder=person)
    if moved.duty == LEAD and case.lead == before:
        out.become(lead=person)
        out.note("case.lead", before, person)
    out.tell("assigned", person, handoff=moved, by=act.who)
    out.tell("assigned_away", *((before,) if before else ()), handoff=moved, holder=person)
    out.renew("first_contact", moved.id) if moved.state == "accepted" else None
    return out.done()


def hold_for(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """A head holds a duty for an absent or leaving member until the next one says 引き受けます."""
    if act.by is None or not act.by.heads(handoff.to_agency):
        raise no.HeadsOnly()
    if not handoff.held:
        raise no.OfferEnded(state=handoff.state, agency=handoff.to_agency)
    not_after_death(case)
    out = Outcome(case, act)
    before = handoff.holder
    moved = out.put(handoff.become(holder=act.who, held_by_head=True))
    out.note("handoff.held_by_head", handoff=moved.no, duty=moved.duty, source=before, holder=act.who)
    if moved.duty == LEAD and case.lead == before:
        out.become(lead=act.who)
        out.note("case.lead", before, act.who)
    out.tell("held_by_head", Reader("room", moved.to_agency), handoff=moved, holder=act.who)
    return out.done()


def take_over(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """The next member says 引き受けます to what their head holds: no new offer inside an agency."""
    if not (handoff.held and handoff.held_by_head):
        raise no.NoOfferWaiting()
    if act.by is None or handoff.to_agency not in act.by.agencies or act.who == handoff.holder:
        raise no.NotYours(actors=("receiver",), holder=handoff.holder, agency=handoff.to_agency)
    not_after_death(case)
    out = Outcome(case, act)
    before = handoff.holder
    moved = out.put(handoff.become(holder=act.who, held_by_head=False))
    out.note("handoff.taken_over", handoff=moved.no, duty=moved.duty, source=before, holder=act.who)
    if moved.duty == LEAD and case.lead == before:
        out.become(lead=act.who)
        out.note("case.lead", before, act.who)
    out.tell("taken_over", *((before,) if before else ()), handoff=moved, holder=act.who)
    return out.done()


def object_to_proxy(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """「ちがいます」: what was written down for me is wrong; the coordinator puts it right (two business days)."""
    not_after_death(case)
    proxy = handoff.proxy
    if proxy is None or act.who not in (proxy.person, handoff.holder, *receivers(handoff, act.town, act.at)):
        raise no.NotAProxyAnswer()
    hours = hours_for("receiver", handoff, case, act.town, act.at)
    if act.at > hours.add_days(proxy.at, 2):
        raise no.DayOutOfRange(latest=hours.add_days(proxy.at, 2))
    out = Outcome(case, act)
    moved = out.put(handoff.become(withdraw_asked=handoff.held))
    out.note("handoff.proxy_objected", handoff=moved.no, duty=moved.duty, by=act.who)
    if moved.ended:
        out.stick(moved, "proxy", coordinator=True)
    out.tell("proxy_objected", *codes(act.town.coordinators), proxy.by, handoff=moved, must=True)
    return out.done()


def record_proxy(
    case: Case,
    handoff: Handoff,
    answer_: str,
    person: str,
    means: str,
    act: Act,
    *,
    code: str = "",
    until: datetime | None = None,
) -> Outcome:
    """代理の記録: the receiver's own answer, given by phone, FAX or at a meeting, written down by sender or coordinator."""
    if act.by is None or not stands("sender", act.by, case, act.town, act.at, handoff=handoff):
        raise no.NotYours(actors=("sender", "coordinator"), holder=handoff.sender, agency=handoff.from_agency)
    proxy = Proxy(act.who, person, means, act.at)
    match answer_:
        case "accept":
            return accept(case, handoff, act, person=person, proxy=proxy)
        case "decline":
            out = decline(case, handoff, code, act, proxy=proxy)
            return out.tell("proxy_told", person, handoff=out.case.handoff(handoff.id), proxy=means, by=act.who)
        case "consider":
            out = consider(case, handoff, until, act, proxy=proxy)
            return out.tell("proxy_told", person, handoff=out.case.handoff(handoff.id), proxy=means, by=act.who)
    raise no.WordsMissing(what="answer")


def take_back_decline(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """「まちがえました」 after a 辞退: an ended offer stays ended; whoever asked may ask again with one tap."""
    if handoff.state != "declined" or act.who not in receivers(handoff, act.town, act.at):
        raise no.NothingToUndo()
    not_after_death(case)
    out = Outcome(case, act)
    need = case.need(handoff.duty)
    asked = tuple(
        a.become(code="missing_information") if a.agency == handoff.to_agency and a.answer == "declined" else a
        for a in need.asked
    )
    out.set_need(need.become(asked=asked))
    out.note("handoff.decline_taken_back", handoff=handoff.no, duty=handoff.duty, by=act.who)
    out.tell(
        "decline_taken_back",
        handoff.sender,
        *(codes(act.town.coordinators) if need.to_coordinator else ()),
        handoff=handoff,
    )
    return out.done()
