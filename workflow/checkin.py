"""Scheduled check-ins: answers measure contact, not taps. 気になる proposes a move, a human confirms."""

from datetime import timedelta
from typing import Literal

from workflow import refusals as no
from workflow.calendar import Span
from workflow.case import Case, Handoff, Request
from workflow.facts import LONGEST_INTERVAL
from workflow.handoff import connect, not_after_death
from workflow.outcome import Act, Outcome
from workflow.people import WATCH
from workflow.who import codes, lead, stands

Contact = Literal["calm", "worry", "seen", "missed"]
CALM_BEFORE_LENGTHENING = 3


def report(case: Case, handoff: Handoff, contact: Contact, act: Act) -> Outcome:
    """Answer a check-in, or report without being asked: one set of words for both.

    On an accepted role 会えた is つながった. The first report after it is the 結果 that comes back to the sender.
    """
    not_after_death(case)
    if handoff.state == "accepted" and contact in ("calm", "worry"):
        met = connect(case, handoff, act)
        if contact == "worry":
            _follow(met, met.case.handoff(handoff.id) or handoff, contact)
        return met.done()
    if act.by is None or not stands("holder", act.by, case, act.town, act.at, handoff=handoff):
        raise no.NotYours(actors=("holder",), holder=handoff.holder, agency=handoff.to_agency)
    if handoff.state != "active":
        raise no.NotFromHere(graph="handoff", state=handoff.state, event="report")
    if contact == "seen" and handoff.duty != WATCH:
        raise no.NotFromHere(graph="handoff", state=handoff.state, event="seen")
    out = Outcome(case, act)
    moved = _counted(out, handoff, contact)
    out.note(f"checkin.{contact}", handoff=moved.no, duty=moved.duty, calm=moved.calm, missed=moved.missed)
    _result(out, handoff, moved)
    _follow(out, moved, contact)
    out.renew("checkin", moved.id)
    return out.done()


def _counted(out: Outcome, handoff: Handoff, contact: Contact) -> Handoff:
    town, at = out.act.town, out.act.at
    again = ""
    if contact == "missed":
        harsh = at.astimezone(town.tz).month in town.harsh
        again = "checkin_missed_harsh" if harsh else "checkin_missed"
    return out.put(
        handoff.become(calm=handoff.calm + 1 if contact == "calm" else 0,
            missed=handoff.missed + 1 if contact == "missed" else 0, ask_again=again,
        )
    )  # fmt: skip


def _result(out: Outcome, before: Handoff, moved: Handoff) -> None:
    if before.result_at is None:
        moved = out.put(moved.become(result_at=out.act.at))
        out.note("handoff.result", handoff=moved.no, duty=moved.duty)
        out.tell("result", moved.sender, handoff=moved, soft=True)


def _follow(out: Outcome, handoff: Handoff, contact: Contact) -> None:
    case, act = out.case, out.act
    if contact == "worry":
        _ask(out, "concern", handoff)
        out.tell("worry", *lead(case, act.town), handoff=handoff)
    if contact == "missed" and handoff.missed >= 2 and not _asked(case, "safety", handoff):
        _ask(out, "safety", handoff)
        out.tell("safety", *codes(act.town.coordinators), *lead(case, act.town), handoff=handoff, must=True)
    if contact in ("calm", "worry", "seen") and _asked(case, "safety", handoff):
        out.become(requests=tuple(r for r in out.case.requests if not (r.kind == "safety" and r.handoff == handoff.id)))
    if contact == "calm" and handoff.calm >= CALM_BEFORE_LENGTHENING and not handoff.lengthen:
        out.put((out.case.handoff(handoff.id) or handoff).become(lengthen=True))
        out.note("checkin.lengthening_proposed", handoff=handoff.no, duty=handoff.duty)
        out.tell("lengthen_proposed", *lead(case, act.town), handoff=handoff, soft=True)


def _asked(case: Case, kind: str, handoff: Handoff) -> bool:
    return any(r.kind == kind and r.handoff == handoff.id for r in case.requests)


def _ask(out: Outcome, kind: str, handoff: Handoff) -> None:
    no_ = max((r.no for r in out.case.requests), default=out.case.seq) + 1
    out.become(requests=(*out.case.requests, Request(no_, kind, out.act.who, out.act.at, handoff.id)))
    out.note(f"request.{kind}", request=no_, by=out.act.who, handoff=handoff.no)


def cannot(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """「今回は難しいです」: no reason asked; the lead looks, the question comes again in a week."""
    if act.by is None or not stands("holder", act.by, case, act.town, act.at, handoff=handoff):
        raise no.NotYours(actors=("holder",), holder=handoff.holder, agency=handoff.to_agency)
    not_after_death(case)
    out = Outcome(case, act)
    out.note("checkin.cannot", handoff=handoff.no, duty=handoff.duty)
    out.renew("checkin", handoff.id, act.at + timedelta(days=7))
    out.tell("checkin_cannot", *lead(case, act.town), handoff=handoff)
    return out.done()


def agree_cadence(case: Case, handoff: Handoff, span: str, act: Act) -> Outcome:
    """延ばす for a role's own check-ins: a human agrees to what the bot proposed after three 会えた."""
    if not handoff.lengthen:
        raise no.LengthenByProposalOnly()
    if act.by is None or not stands("lead", act.by, case, act.town, act.at):
        raise no.LeadOnly(lead=case.lead)
    hours = act.town.hours_at(handoff.to_agency)
    if Span.parse(span).after(act.at, hours) > hours.next_open(act.at + LONGEST_INTERVAL):
        raise no.DayOutOfRange(latest=act.at + LONGEST_INTERVAL)
    not_after_death(case)
    out = Outcome(case, act)
    out.put(handoff.become(lengthen=False, calm=0, cadence=span))
    out.note("checkin.lengthened", handoff.cadence or None, span, handoff=handoff.no, duty=handoff.duty)
    out.renew("checkin", handoff.id)
    out.tell("lengthened", *((handoff.holder,) if handoff.holder else ()), handoff=handoff, span=span, soft=True)
    return out.done()


def correct(case: Case, handoff: Handoff, act: Act) -> Outcome:
    """Take back one's last answer: the question is open again; what followed from it alone is put away."""
    if act.by is None or not stands("holder", act.by, case, act.town, act.at, handoff=handoff):
        raise no.NotYours(actors=("holder",), holder=handoff.holder, agency=handoff.to_agency)
    if handoff.state != "active":
        raise no.NotFromHere(graph="handoff", state=handoff.state, event="report")
    not_after_death(case)
    out = Outcome(case, act)
    out.put(
        handoff.become(calm=max(handoff.calm - 1, 0), missed=max(handoff.missed - 1, 0), ask_again="", lengthen=False)
    )
    lately = act.at - timedelta(minutes=15)
    put_away = tuple(r for r in case.requests if r.handoff == handoff.id and r.by == act.who and r.at >= lately)
    out.become(requests=tuple(r for r in case.requests if r not in put_away))
    out.note("checkin.corrected", handoff=handoff.no, duty=handoff.duty)
    out.renew("checkin", handoff.id, act.at + timedelta(minutes=1))
    if put_away:
        out.tell("checkin_corrected", *lead(case, act.town), handoff=handoff, soft=True)
    return out.done()
