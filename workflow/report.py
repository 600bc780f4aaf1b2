"""虐待の疑い: a statutory track beside the path (domain.md §1.8). Nobody declines or withdraws it; an official alone ends it.

Each of its steps is a duty with a wait of its own that climbs; a case does not close before its tracks have ended.
"""

from datetime import datetime, timedelta

from workflow import refusals as no
from workflow.case import TRACK, Case, Report
from workflow.outcome import Act, Outcome
from workflow.people import Role, Staff, Town
from workflow.who import codes, lead, stands

#: Whom each is reported to by law: 児童虐待防止法6条, 高齢者虐待防止法7条・21条, 障害者虐待防止法7条・16条・22条, DV防止法6条.
KINDS = ("child", "elder", "disability", "dv")
#: To whom it was reported; `person_wish`: of DV, the person has been told where to turn and does not want more for now.
TO = ("child_centre", "municipality", "police", "dv_centre", "person_wish")
MEANS = ("phone", "fax", "meeting")
#: How an official ends a track.
ENDS = ("to_child_centre", "to_municipality", "to_police", "not_abuse", "settled")
#: Who may know of every track.
WATCHING = (Role.COORDINATOR, Role.OFFICIAL)
#: How long ago a report may have been made that is written down now.
LATELY = timedelta(days=7)


def aware(me: Staff, case: Case, town: Town, at: datetime) -> bool:
    """Say whether somebody may know of a track: who has to act on it. Never volunteers, never those who only hold a role."""
    if me.has(*WATCHING):
        return True
    return not me.volunteer and (me.code in _raisers(case) or stands("lead", me, case, town, at))


def seen_by(me: Staff | None, case: Case, town: Town, at: datetime) -> Case:
    """The case as this reader may see it: without its tracks for whoever need not know (a room: nobody in particular)."""
    if not case.reports or (me is not None and aware(me, case, town, at)):
        return case
    return case.become(reports=(), waits=tuple(w for w in case.waits if w.kind not in TRACK))


def _raisers(case: Case) -> set[str]:
    return {person for report in case.reports for person in report.by}


def _readers(case: Case, town: Town) -> tuple[str, ...]:
    """Officials and coordinators first, then the lead and whoever raised it, as far as they may know."""
    raised = [p for p in _raisers(case) if p in town.staff and not town.staff[p].volunteer]
    return (*codes(town.officials), *codes(town.coordinators), *lead(case, town), *sorted(raised))


def suspect(case: Case, kind: str, act: Act) -> Outcome:
    """虐待: raise a suspicion. Anybody at work on the case may; raised again, it is the same track."""
    if not case.open:
        raise no.CaseClosed(number=case.number)
    known = next((r for r in case.reports if r.kind == kind and r.open), None)
    out = Outcome(case, act).become(abuse=True, danger=True)
    report = known or Report(no=len(case.reports) + 1, kind=kind, by=(), at=act.at)
    report = _put(out, report.become(by=tuple(dict.fromkeys((*report.by, act.who)))))
    out.note("report.suspected", report=report.no, abuse=kind)
    return out.tell("abuse", *_readers(out.case, act.town), must=True, urgent=True, abuse=kind).done()


def reported(case: Case, report: Report, to: str, means: str, at: datetime, act: Act) -> Outcome:
    """通報済: it has been reported, to whom, when and how. A child has to be seen within 48 hours of the first report.

    Raises NoSuchCode (a person's wish holds back DV alone), DayOutOfRange for a moment to come or long gone.
    """
    _must_act(case, report, act)
    if to == "person_wish" and report.kind != "dv":
        raise no.NoSuchCode()
    if not act.at - LATELY <= at <= act.at:
        raise no.DayOutOfRange(latest=act.at)
    out = Outcome(case, act)
    report = _put(out, report.become(reported_at=report.reported_at or at, to=to, means=means))
    out.note("report.made", report=report.no, abuse=report.kind, to=to, means=means, made=at.isoformat())
    return out.tell("report_made", *_readers(case, act.town), abuse=report.kind, to=to).done()


def seen_safe(case: Case, report: Report, act: Act) -> Outcome:
    """安全確認: somebody has seen the person with their own eyes; the next look is asked for anew."""
    _must_act(case, report, act)
    out = Outcome(case, act)
    _put(out, report.become(seen_at=report.seen_at or act.at))
    out.renew("report_follow").note("report.seen", report=report.no, abuse=report.kind)
    return out.tell("report_seen", *_readers(case, act.town), abuse=report.kind).done()


def end(case: Case, report: Report, how: str, act: Act) -> Outcome:
    """虐待終了: an official ends the track, with a code. What was no abuse leaves no mark on the case."""
    if act.by is None or not act.by.has(Role.OFFICIAL):
        raise no.OfficialsOnly()
    out = Outcome(case, act)
    _put(out, report.become(ended_at=act.at, how=how))
    if all(r.how == "not_abuse" for r in out.case.reports):
        out.become(abuse=False, danger=False)
    out.note("report.ended", report=report.no, abuse=report.kind, how=how)
    return out.tell("report_ended", *_readers(case, act.town), abuse=report.kind, how=how).done()


def _put(out: Outcome, report: Report) -> Report:
    out.become(reports=tuple(sorted((*(r for r in out.case.reports if r.no != report.no), report), key=lambda r: r.no)))
    return report


def _must_act(case: Case, report: Report, act: Act) -> None:
    if not case.open:
        raise no.CaseClosed(number=case.number)
    if act.by is None or not aware(act.by, case, act.town, act.at):
        raise no.NothingToAnswer()
    if not report.open:
        raise no.AlreadyDone(event="report", state="ended")
