"""Decisions about who may know a case: 限定, 緊急閲覧, 除く (an agency that serves the other party), 保護 (protection flags)."""

from datetime import timedelta

from workflow import refusals as no
from workflow.case import Case
from workflow.outcome import CASE_OPENED, Act, Outcome
from workflow.people import Role, Staff, Town
from workflow.sight import Sight
from workflow.who import codes, coordinators, serves, stands

#: Why a case is restricted.
RESTRICTED = ("shelter", "kin", "known", "opponent", "other")
#: Why somebody opens a restricted case that is not theirs.
NEEDED = ("danger", "on_duty", "absent", "review", "other")
#: 支援措置 (住民基本台帳事務の支援措置), 避難中.
FLAGS = ("measures", "sheltered")
OPEN_FOR = timedelta(hours=4)


def must_keep(case: Case, act: Act) -> None:
    """Refuse anybody but lead and coordinators; of a closed case too, whose confidence lasts."""
    if act.by is None or not stands("lead", act.by, case, act.town, act.at):
        raise no.LeadOnly(lead=case.lead)


def overseers(case: Case, town: Town) -> tuple[str, ...]:
    """The coordinators who may be named 見る調整役."""
    return tuple(c.code for c in town.coordinators if not serves(c, case.barred))


def restrict(case: Case, why: str, overseer: str, act: Act) -> Outcome:
    """限定: from now on only the team knows the case, with one coordinator by name, so that its ladders end at a human.

    Said again it names another coordinator.
    """
    must_keep(case, act)
    if case.restricted and case.overseer == overseer:
        raise no.AlreadyDone(event="restrict", state="restricted")
    return _close_round(Outcome(case, act), why, overseer).done()


def _close_round(out: Outcome, why: str, overseer: str) -> Outcome:
    out.become(restricted=True, overseer=overseer).note("case.restricted", restricted=why, person=overseer)
    return out.tell("overseer", overseer)


def lift(case: Case, act: Act) -> Outcome:
    """限定 … 解除: the case is known by posts and agencies again; a protection flag stays until it is lifted itself."""
    must_keep(case, act)
    if not case.restricted:
        raise no.AlreadyDone(event="lift", state="unrestricted")
    return Outcome(case, act).become(restricted=False, overseer=None).note("case.unrestricted").done()


def may_open(person: Staff, town: Town) -> bool:
    """Say whose office may need a restricted case: coordinators, officials, the head of the coordinating body."""
    return person.has(Role.COORDINATOR, Role.OFFICIAL) or person.heads(town.body.code)


def open_for_need(case: Case, why: str, text: int, digest: str, act: Act) -> Outcome:
    """緊急閲覧: for four hours, with a reason that is kept; the case's coordinator and the privacy officers are told at once.

    Raises NoSuchCase for whatever is not a restricted case of others, in one shape.
    """
    town = act.town
    if act.by is None or not may_open(act.by, town) or not case.restricted or serves(act.by, case.barred):
        raise no.NoSuchCase(number=case.number)
    if Sight(act.by, town, act.at).knows(case):
        raise no.NoSuchCase(number=case.number)
    out = Outcome(case, act)
    made = out.let_in(act.who, why, OPEN_FOR, text=text)
    out.note("case.opened_for_need", opened=why, until=made.until.isoformat(), text=text, digest=digest)
    watching = codes(p for p in town.staff.values() if p.has(Role.PRIVACY)) or (town.final_owner,)
    told = (*coordinators(case, town), *watching)
    return out.tell(CASE_OPENED, *told, must=True, person=act.who, opened=why, until=made.until.isoformat()).done()


def bar(case: Case, agency: str, act: Act) -> Outcome:
    """除く: an agency that serves the other party is not asked, and its members know nothing of the case."""
    must_keep(case, act)
    if agency in case.barred:
        raise no.AlreadyDone(event="bar", state="barred")
    town = act.town
    leading = town.staff.get(case.lead or "")
    at_work = {h.to_agency for h in case.handoffs if h.asked or h.held} | set(leading.agencies if leading else ())
    if agency in at_work | {town.body.code} | set(town.staff[town.final_owner].agencies):
        raise no.CannotBeBarred(agency=agency)
    return Outcome(case, act).become(barred=(*case.barred, agency)).note("case.barred", agency=agency).done()


def unbar(case: Case, agency: str, act: Act) -> Outcome:
    """除く … 解除: the agency may be asked like any other."""
    must_keep(case, act)
    if agency not in case.barred:
        raise no.AlreadyDone(event="unbar", state="unbarred")
    rest = tuple(a for a in case.barred if a != agency)
    return Outcome(case, act).become(barred=rest).note("case.unbarred", agency=agency).done()


def protect(case: Case, flag: str, overseer: str | None, act: Act) -> Outcome:
    """保護: the flag stands from this instant on wherever the case is shown; with the first one the case is restricted.

    `overseer`: 見る調整役, where it becomes restricted by this.
    """
    must_protect(case, act)
    if flag in case.flags:
        raise no.AlreadyDone(event="protect", state="protected")
    out = Outcome(case, act).become(flags=(*case.flags, flag)).note("case.protected", flag=flag)
    return (_close_round(out, "shelter", overseer) if overseer and restricts(case) else out).done()


def restricts(case: Case) -> bool:
    """Say whether a flag would restrict the case: the first one does, unless it is; a human may have lifted it apart."""
    return not case.restricted and not case.flags


def unprotect(case: Case, act: Act) -> Outcome:
    """保護 … 解除: no flag stands any more; a restriction stays until it is lifted itself."""
    must_protect(case, act)
    if not case.flags:
        raise no.AlreadyDone(event="unprotect", state="unprotected")
    return Outcome(case, act).become(flags=()).note("case.unprotected").done()


def must_protect(case: Case, act: Act) -> None:
    """Refuse anybody but lead, coordinators and officials."""
    if act.by is None or not act.by.has(Role.OFFICIAL):
        must_keep(case, act)
