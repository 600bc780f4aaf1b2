"""緊急, and 相談 · 電話 without a case: a wait of its own that rings the roster until a human says they have reached somebody.

Also the coordinators' weekly list of closings, which belongs to no one case.
"""

from datetime import time, timedelta

from workflow.calendar import instant
from workflow.case import Wait
from workflow.ladder import Policy, Rung, Urgency
from workflow.outcome import Act
from workflow.people import OnCall
from workflow.who import codes, roster

KINDS = ("danger", "talk", "phone")
#: The coordinators' weekly list of what leads have closed alone (workflow.md §1, closing (a)).
CLOSINGS = "closings"
_WEEKLY = Policy("5bd", "5bd", (Rung("0", ("coordinator",), "tell"),))


def raise_call(kind: str, act: Act, subject: str) -> tuple[Wait, tuple[str, ...]]:
    """Open the wait and name the first people to tell: for danger the coordinators and the row on duty."""
    town = act.town
    urgency = Urgency.EMERGENCY if kind == "danger" else Urgency.NORMAL
    policy = town.policies["danger" if kind == "danger" else "talk"]
    hours = town.body.hours
    due = policy.due(act.at, hours, urgency)
    wait = Wait(
        id=act.fresh(), kind=kind, owner="roster" if kind == "danger" else "coordinator", opened_at=act.at, due_at=due,
        policy=policy, urgency=urgency, subject=subject, next_at=due,
    )  # fmt: skip
    people = codes(town.coordinators)
    if kind == "danger":
        people = (*people, *roster(town, act.at)[:1])
    people = town.present(people, act.at)
    return wait.become(told=people), tuple(p for p in people if p != subject)


def weekly_list(act: Act) -> Wait:
    """Begin the coordinators' list: it opens with the first closing of a week and is told when their Monday begins."""
    hours, today = act.town.body.hours, act.at.astimezone(act.town.tz).date()
    monday = today + timedelta(days=7 - today.weekday())
    told = hours.next_open(instant(monday, time(0), act.town.tz))
    return Wait(
        id=act.fresh(), kind=CLOSINGS, owner="coordinator", opened_at=act.at, due_at=told, policy=_WEEKLY, next_at=told
    )  # fmt: skip


def ring_call(wait: Wait, act: Act) -> tuple[Wait, tuple[str, ...]]:
    """The next row of the roster, every fifteen minutes, until a human presses; other calls climb to the final owner.

    The weekly list is told once and asks nothing.
    """
    town = act.town
    if wait.kind == CLOSINGS:
        people = town.present(codes(town.coordinators), act.at)
        return wait.become(told=people, closed_at=act.at, why="told", next_at=None), people
    if wait.kind == "danger":
        rows = roster(town, act.at)
        people = rows[(wait.rung + 1) % len(rows) :][:1]
    else:
        people = codes(town.coordinators) if wait.rung == 0 else (town.final_owner,)
    people = town.present(people, act.at)
    told = tuple(dict.fromkeys((*wait.told, *people)))
    due = wait.policy.due(act.at, town.body.hours, wait.urgency)
    return wait.become(rung=wait.rung + 1, next_at=due, told=told), people


def numbers(act: Act, on_duty: bool = False) -> tuple[tuple[str, str], ...]:
    """The numbers to dial: the town's own by day, the row on duty otherwise; the public ones stand in the sentence."""
    town = act.town
    rows: tuple[OnCall, ...] = town.on_duty(act.at)[:1]
    named = [(p.label, p.number) for p in town.phones]
    duty = [(r.name, r.phone) for r in rows]
    return tuple(dict.fromkeys(duty + named if on_duty else named + duty))


def by_day(act: Act) -> bool:
    """Say whether the municipality's own desk is open now."""
    return act.town.body.hours.is_open(act.at)
