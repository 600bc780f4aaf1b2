"""The two conferences (domain.md §1.4): 支援会議 of the city (社福法106条の6) and 重層的支援会議 of the coordinator (consent).

Who may call which, who is a member, to whom its documents are open, and what it may decide. What a decision does to a case is the
case's own: a role is a handoff, a move a move of the stage.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from workflow import facts
from workflow import refusals as no
from workflow.case import Case, Handoff, Issue, Value, Wait
from workflow.handoff import basis_for, not_after_death
from workflow.outcome import Act, Outcome
from workflow.people import LEAD, Role, Staff, Town
from workflow.who import codes, team

SUPPORT: Final = "support_106_6"  #: 支援会議: no consent needed, statutory secrecy, closed documents
COORDINATION: Final = "coordination"  #: 重層的支援会議: consented cases alone
KINDS: Final = (SUPPORT, COORDINATION)
#: What each stands on, and what is learned there (an item's basis).
BASIS: Final = {SUPPORT: "art106_6", COORDINATION: "consent"}
PLACES: Final = ("city", "body", "agency", "online")
DECISIONS: Final = ("plan", "role", "move", "close", "watch", "gather")
DIRECTIONS: Final = ("support", "watching", "gather", "outreach", "coordinate", "close")
#: state → where it may go.
STEPS: Final = {"planned": ("held", "cancelled"), "held": ("closed",), "closed": (), "cancelled": ()}


@dataclass(frozen=True)
class Member(Value):
    """Somebody who was called."""

    staff: str
    asked_at: datetime
    answer: str | None = None  #: come | cannot
    pledged_at: datetime | None = None  #: 守秘の確認


@dataclass(frozen=True)
class Conference(Value):
    """One sitting, about one case or several."""

    id: int
    kind: str
    basis: str
    convened_by: str
    state: str  #: planned | held | closed | cancelled
    made_at: datetime
    at: datetime | None = None
    place: str = ""  #: a code of PLACES
    cases: tuple[int, ...] = ()
    members: tuple[Member, ...] = ()

    def member(self, staff: str) -> Member | None:
        return next((m for m in self.members if m.staff == staff), None)

    @property
    def support(self) -> bool:
        return self.kind == SUPPORT

    def opens_to(self, staff: str) -> bool:
        """Say whether its documents are open to somebody: a member, of a 支援会議 a pledged one. No post opens them."""
        me = self.member(staff)
        return me is not None and self.state != "cancelled" and (me.pledged_at is not None or not self.support)

    def chaired_by(self, person: Staff) -> bool:
        """Whose it is: the city's officials' or the coordinators'."""
        return person.has(Role.OFFICIAL if self.support else Role.COORDINATOR)


class Called(NamedTuple):
    """A conference as it becomes, and what its cases write and tell of it: an outcome a case."""

    conference: Conference
    outcomes: tuple[Outcome, ...]


# -- calling


def usual_members(case: Case, town: Town, *also: str) -> tuple[str, ...]:
    """Who is proposed: those at work on the case who are no volunteers, and who asked for it; whoever calls it chooses."""
    working = (p for p in (*also, *team(case, town)) if p in town.staff and not town.staff[p].volunteer)
    return tuple(dict.fromkeys(working))


def selectable(person: Staff, town: Town) -> bool:
    """Say whether somebody may be a member: a receiving place never is (domain.md §1.11); a watcher may be chosen."""
    return any(p.role not in (Role.HOST, Role.ADMIN) and town.agency_at(p.agency).kind != "host" for p in person.posts)


def call(
    kind: str, cases: Sequence[Case], members: Iterable[str], at: datetime | None, act: Act, *, place: str = ""
) -> Called:
    """Call one: 支援会議 the city alone, 重層的支援会議 a coordinator and only about consented cases. Each member is told.

    Raises OfficialsOnly, CoordinatorsOnly, ConsentForConference, CaseClosed, DeceasedQuiet, NoSuchPerson, DayOutOfRange.
    """
    _may_call(kind, act)
    if at is not None and at <= act.at:
        raise no.DayOutOfRange(latest=act.at, past=True)
    asked = dict.fromkeys(m for m in members if m != act.who)
    for one in asked:
        if one not in act.town.staff or not selectable(act.town.staff[one], act.town):
            raise no.NoSuchPerson(text=one)
    called = Conference(
        id=act.fresh(), kind=kind, basis=BASIS[kind], convened_by=act.who, state="planned", made_at=act.at, at=at, place=place,
        cases=tuple(sorted(c.id for c in cases)),
        members=(Member(act.who, act.at, "come"), *(Member(one, act.at) for one in asked)),
    )  # fmt: skip
    outs = tuple(
        facts.convene(case, act, at=at) if kind == SUPPORT else facts.conference(case, "layered", at, act)
        for case in cases
    )
    for out in outs:
        out.note("conference.called", conference=called.id)
    _tell(outs, "conference", called, *asked)
    if kind == SUPPORT:
        outs[0].tell("convened", *(c for c in codes(act.town.coordinators) if c not in asked))
    return Called(called, outs)


def _may_call(kind: str, act: Act) -> None:
    if kind == SUPPORT and (act.by is None or not act.by.has(Role.OFFICIAL)):
        raise no.OfficialsOnly()
    if kind != SUPPORT and (act.by is None or not act.by.has(Role.COORDINATOR)):
        raise no.CoordinatorsOnly()


def _tell(outs: Sequence[Outcome], kind: str, conference: Conference, *to: str) -> None:
    """One letter a reader, about the first of its cases. Neither kind nor content of a conference is in it (workflow.md §6)."""
    more = len(conference.cases) - 1
    at = conference.at.isoformat() if conference.at else ""
    outs[0].tell(kind, *to, conference=conference.id, at=at, more=more)


def _outcomes(
    conference: Conference, cases: Sequence[Case], act: Act, kind: str, *, reply: str = ""
) -> tuple[Outcome, ...]:
    said = {"reply": reply} if reply else {}
    return tuple(Outcome(case, act).note(kind, None, None, conference=conference.id, **said) for case in cases)


def _done(conference: Conference, outs: Sequence[Outcome]) -> Called:
    return Called(conference, tuple(out.done() for out in outs))


def move(conference: Conference, cases: Sequence[Case], at: datetime, act: Act, *, place: str | None = None) -> Called:
    """Another time: everybody is asked again."""
    _may_call(conference.kind, act)
    _still(conference, "planned")
    if at <= act.at:
        raise no.DayOutOfRange(latest=act.at, past=True)
    kept = tuple(m if m.staff == act.who else m.become(answer=None) for m in conference.members)
    moved = conference.become(at=at, members=kept, place=conference.place if place is None else place)
    outs = _outcomes(moved, cases, act, "conference.moved")
    for out in outs:
        out.become(conference_at=at)
    _tell(outs, "conference", moved, *(m.staff for m in kept))
    return _done(moved, outs)


def cancel(conference: Conference, cases: Sequence[Case], act: Act) -> Called:
    """It does not take place: the members hear so, and a case decides anew whether to confer."""
    _may_call(conference.kind, act)
    over = _step(conference, "cancelled")
    outs = _outcomes(over, cases, act, "conference.cancelled")
    for out in outs:
        if out.case.conference == "planned":
            out.become(conference="", conference_at=None)
    _tell(outs, "conference_cancelled", over, *(m.staff for m in over.members if m.answer != "cannot"))
    return _done(over, outs)


def hold(conference: Conference, cases: Sequence[Case], act: Act) -> Called:
    """It has taken place: what is said and decided there is written down now."""
    _may_call(conference.kind, act)
    return _done(held := _step(conference, "held"), _outcomes(held, cases, act, "conference.held"))


def close(conference: Conference, cases: Sequence[Case], act: Act) -> Called:
    """Nothing more is written; the documents stay closed, and open to those who were its members."""
    _may_call(conference.kind, act)
    return _done(over := _step(conference, "closed"), _outcomes(over, cases, act, "conference.closed"))


def _step(conference: Conference, state: str) -> Conference:
    if state not in STEPS[conference.state]:
        raise no.ConferenceOver(conference_state=conference.state)
    return conference.become(state=state)


def _still(conference: Conference, *states: str) -> None:
    if conference.state not in states:
        raise no.ConferenceOver(conference_state=conference.state)


# -- the members answer


def answer(conference: Conference, cases: Sequence[Case], said: str, act: Act) -> Called:
    """行けます · 行けません: whoever called it hears, and of a 行けません the member's head, who may send somebody else."""
    me = conference.member(act.who)
    if me is None:
        raise no.NothingToAnswer()
    _still(conference, "planned")
    not_after_death(cases[0])
    if me.answer == said:
        raise no.AlreadyDone(event="answer", state=said)
    told = _with(conference, me.become(answer=said))
    outs = _outcomes(told, cases[:1], act, "conference.answer", reply=said)
    heads = [h for a in act.town.staff[me.staff].agencies for h in codes(act.town.heads(a))]
    readers = (conference.convened_by, *(heads if said == "cannot" else ()))
    outs[0].tell(
        "conference_answer", *readers, soft=True, person=act.who, reply=said, conference=conference.id
    )  # fmt: skip
    return _done(told, outs)


def substitute(conference: Conference, cases: Sequence[Case], instead_of: str, person: str, act: Act) -> Called:
    """A head sends another of their agency; who cannot come is a member no more, nor may read anything of it."""
    member, sent = conference.member(instead_of), act.town.staff.get(person)
    if member is None or sent is None or conference.member(person) or not selectable(sent, act.town):
        raise no.NoSuchPerson(text=person)
    _still(conference, "planned")
    shared = [a for a in act.town.staff[instead_of].agencies if a in sent.agencies]
    if act.by is None or not (any(act.by.heads(a) for a in shared) or conference.chaired_by(act.by)):
        raise no.HeadsOnly()
    if instead_of == conference.convened_by:
        raise no.NoSuchPerson(text=person)
    rest = tuple(m for m in conference.members if m.staff != instead_of)
    changed = conference.become(members=(*rest, Member(person, act.at)))
    outs = _outcomes(changed, cases, act, "conference.substitute")
    _tell(outs, "conference", changed, person)
    return _done(changed, outs)


def pledge(conference: Conference, cases: Sequence[Case], act: Act) -> Called:
    """守秘の確認: the member has read what 社福法106条の6 asks of them; from now on the documents are open to them."""
    me = conference.member(act.who)
    if me is None:
        raise no.NothingToAnswer()
    if conference.state == "cancelled":
        raise no.ConferenceOver(conference_state=conference.state)
    if me.pledged_at:
        raise no.AlreadyDone(event="pledge", state="pledged")
    signed = _with(conference, me.become(pledged_at=act.at))
    return _done(signed, _outcomes(signed, cases[:1], act, "conference.pledge"))


def _with(conference: Conference, member: Member) -> Conference:
    return conference.become(
        members=tuple(member if m.staff == member.staff else m for m in conference.members)
    )  # fmt: skip


# -- what is written and decided


def may_write(conference: Conference, act: Act) -> None:
    """Refuse anybody but a member to whom it is open, and anything before it was held or after it was closed."""
    if not conference.opens_to(act.who):
        raise no.NotAMember()
    _still(conference, "held")


def learned(conference: Conference, case: Case, text: int | None, act: Act) -> Outcome:
    """Something was said about a case: the journal has its id alone."""
    may_write(conference, act)
    return Outcome(case, act).note("conference.learned", conference=conference.id, text=text).done()


def decided(out: Outcome, conference: Conference, kind: str) -> Outcome:
    """Write down beside what it does to the case that a conference has decided it. Raises NotAMember, ConferenceOver."""
    may_write(conference, out.act)
    return out.note("conference.decided", conference=conference.id, matter=kind)


def present(conference: Conference, person: str) -> bool:
    """Say whether somebody sat there as far as anybody knows: for them a role may be accepted on the spot."""
    member = conference.member(person)
    return member is not None and member.answer != "cannot"


def basis_by_it(conference: Conference, case: Case, agency: str, act: Act) -> Outcome | None:
    """An agency that sits in a 支援会議 may be told what it is asked (106条の6); None: it has a basis, or sits elsewhere."""
    own = act.town.staff[case.lead].agency if case.lead else act.town.body.code
    sits = any(agency in act.town.staff[m.staff].agencies for m in conference.members if m.staff in act.town.staff)
    if not conference.support or not sits or basis_for(case, agency, own):
        return None
    return facts.basis(case, agency, "art106_6", act)


# -- the agenda, made from the case


class Agenda(NamedTuple):
    """One case as a conference looks at it: nobody types it again."""

    issues: tuple[Issue, ...]  #: the open ones, with the person's own wish
    gaps: tuple[Issue, ...]  #: those that nobody holds
    roles: tuple[Handoff, ...]  #: held, then asked
    waits: tuple[Wait, ...]  #: the next due first


def agenda(case: Case) -> Agenda:
    """What there is to talk about: read off the case."""
    issues = tuple(i for i in case.issues if i.status in ("open", "held", "gap"))
    gaps = tuple(i for i in issues if i.status != "held")
    roles = tuple(h for h in (*case.held, *case.asked) if h.duty != LEAD)
    return Agenda(issues, gaps, roles, tuple(sorted(case.waits, key=lambda w: w.due_at)))
