"""What a due timer does. A timer is only a question put earlier: the case is judged as it stands now."""

from dataclasses import replace
from datetime import datetime

from workflow.case import Case, Handoff, Wait
from workflow.handoff import expire, next_candidates, reader_of
from workflow.ladder import Rung, Urgency
from workflow.outcome import Act, Outcome, Reader
from workflow.promise import Want, advance, hours_for, open_wait
from workflow.stage import notice_over, prolong_notice
from workflow.who import reach, roster


def ring(case: Case, wait: Wait, act: Act, *, notice_ends: datetime | None = None) -> Outcome:
    """Ring every rung of a wait that is due by now, newest state, each person once; then set the next rung.

    `notice_ends`: for a closing's notice, when it is over by what its letters have become (`stage.notice_ends`).
    """
    if wait.kind == "closing_notice" and notice_ends is not None and notice_ends > act.at:
        return prolong_notice(case, notice_ends, act)
    out = Outcome(case, act)
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    if _nothing_to_say(case, wait, handoff):
        return _onward(out, wait, handoff)
    rungs = _due_rungs(case, wait, handoff, act)
    for rung in rungs:
        wait = _ring_one(out, wait, handoff, rung)
    _newest_alone(out)
    out.note(
        "wait.rung", wait=wait.kind, rung=wait.rung, act=rungs[-1].act if rungs else "",
        handoff=handoff.no if handoff else None, due=wait.due_at.isoformat(),
    )  # fmt: skip
    return _onward(out, wait, handoff)


def _onward(out: Outcome, wait: Wait, handoff: Handoff | None) -> Outcome:
    """Set the next rung, unless what just happened has ended the wait."""
    hours = hours_for(wait.owner, handoff, out.case, out.act.town, out.act.at)
    advanced = advance(wait, hours, out.act.at)
    out.become(waits=tuple(advanced if w.id == wait.id else w for w in out.case.waits))
    return out.done()


def _nothing_to_say(case: Case, wait: Wait, handoff: Handoff | None) -> bool:
    """The 結果 is asked for by the check-in's own card while that one is open and due."""
    if wait.kind == "result" and handoff:
        asking = case.wait("checkin", handoff.id)
        return bool(asking and asking.rung > 0 and wait.rung == 0)
    return False


def _newest_alone(out: Outcome) -> None:
    """After downtime several rungs ring at once: each reader hears the newest alone, be it as one of a room."""
    heard: set[Reader] = set()
    kept = []
    for notice in reversed(out.notices):
        to = tuple(r for r in notice.to if notice.kind != "ring" or r not in heard)
        if notice.kind in ("ring", "expired", "expired_receiver"):
            rooms = (r.code for r in notice.to if r.kind == "room")
            heard |= {
                *notice.to,
                *(Reader("staff", p.code) for code in rooms for p in out.act.town.members.get(code, ())),
            }
        if to:
            kept.append(replace(notice, to=to))
    out.notices = kept[::-1]


def _due_rungs(case: Case, wait: Wait, handoff: Handoff | None, act: Act) -> list[Rung]:
    """The rung that rang and, after downtime, those that came due meanwhile."""
    hours = hours_for(wait.owner, handoff, case, act.town, act.at)
    steps = wait.policy.steps(wait.urgency)
    if wait.rung >= len(steps):
        return [replace(steps[-1], act="tell")]
    due = [steps[wait.rung]]
    for i in range(wait.rung + 1, len(steps)):
        at = wait.policy.ring_at(i, wait.opened_at, wait.due_at, hours, wait.urgency)
        if at is None or at > act.at:
            break
        due.append(steps[i])
    return due


def _ring_one(out: Outcome, wait: Wait, handoff: Handoff | None, rung: Rung) -> Wait:
    case, act = out.case, out.act
    people = _people(case, wait, handoff, rung, act)
    if not people and wait.rung >= len(wait.policy.steps(wait.urgency)) - 1:
        people = (act.town.final_owner,)  # those whom the ladder ends at have all left the town
    again = wait.rung >= len(wait.policy.steps(wait.urgency)) or rung.act not in ("tell", "queue")
    readers = _readers(wait, handoff, rung, tuple(p for p in people if again or p not in wait.told), act)
    _say(out, wait, handoff, rung, readers)
    _do(out, wait, handoff, rung)
    named = [r for r in readers if isinstance(r, str)]
    return wait.become(told=tuple(dict.fromkeys((*wait.told, *named))))


def _readers(
    wait: Wait, handoff: Handoff | None, rung: Rung, people: tuple[str, ...], act: Act
) -> tuple[str | Reader, ...]:
    """A reminder of an offer goes to the room that was asked; everything else to people, each once a ladder."""
    if not (handoff and handoff.asked and "receiver" in rung.to):
        return people
    stand_in = act.town.deputy(handoff.to_staff, act.at) if handoff.to_staff and "deputy" in rung.to else None
    on_duty = act.town.present(roster(act.town, act.at)[:1], act.at) if rung.act == "roster" else ()
    return (reader_of(handoff), *((stand_in,) if stand_in else ()), *on_duty)


def _people(case: Case, wait: Wait, handoff: Handoff | None, rung: Rung, act: Act) -> tuple[str, ...]:
    people = [
        p for relation in rung.to for p in reach(relation, case, act.town, act.at, handoff=handoff, owner=wait.owner)
    ]
    if rung.act == "roster":
        people += roster(act.town, act.at)[:1]
    return act.town.present(dict.fromkeys(people), act.at)


def _say(out: Outcome, wait: Wait, handoff: Handoff | None, rung: Rung, readers: tuple[str | Reader, ...]) -> None:
    if rung.act in ("expire", "ask_approval") and not (handoff and handoff.last_candidate):
        return
    wall = wait.urgency is Urgency.EMERGENCY
    loud = wall or rung.act in ("tell", "queue", "expire", "roster", "next_candidate")
    out.tell(
        "ring", *readers, handoff=handoff, wait=wait.id, must=loud, urgent=wall, what=wait.kind, act=rung.act,
        due=wait.due_at.isoformat(), subject=wait.subject, urgency=wait.urgency.value,
    )  # fmt: skip


def _do(out: Outcome, wait: Wait, handoff: Handoff | None, rung: Rung) -> None:
    match rung.act:
        case "expire" if handoff and handoff.state in ("offered", "considering") and not handoff.last_candidate:
            expire(out, handoff)
        case "next_candidate" if handoff:
            candidates = tuple(a.code for a in next_candidates(out.case, handoff.duty, out.act, basis_only=True)[:3])
            out.tell(
                "next_candidates",
                *reach("coordinator", out.case, out.act.town, out.act.at),
                handoff=handoff,
                candidates=candidates,
            )
        case "queue":
            _queue(out, wait)
        case "ask_approval":
            notice_over(out)


def _queue(out: Outcome, wait: Wait) -> None:
    """The coordinator's own queue item: it climbs on to a second coordinator, the head of the body, the official."""
    if any(w.kind == "queue" and w.about == wait.id for w in out.case.waits):
        return
    item = open_wait(out, Want("queue", "coordinator", wait.handoff, subject=wait.kind))
    out.become(waits=(*out.case.waits, item.become(about=wait.id)))


def mend(case: Case, act: Act) -> Outcome:
    """A case that waits for nothing: what its state demands is waited for again, and the coordinator has a look (I25)."""
    out = Outcome(case, act).note("wait.mended").done()
    climbed = next(iter(out.case.waits), None)
    item = open_wait(out, Want("queue", "coordinator", subject=climbed.kind if climbed else ""))
    return out.become(waits=(*out.case.waits, item.become(about=climbed.id if climbed else None)))
