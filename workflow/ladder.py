"""Who is asked when: the policy of every wait, as data. A wait copies its policy, so editing the town changes only new waits.

Durations are `Span` texts (workflow/calendar.py): 2bd, 4bh, 30d, 1mo, same_day, at_once, 15min, 50%. Rungs count from the due
time (a percentage: of the wait's open time). The figures are workflow.md's table; a town's `[waits]` may replace them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from workflow.calendar import Hours, Span


class Urgency(StrEnum):
    """How soon. NORMAL has no mark; EMERGENCY is wall-clock."""

    NORMAL = "normal"
    HIGH = "high"
    EMERGENCY = "emergency"

    @property
    def rank(self) -> int:
        return list(Urgency).index(self)


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: when (relative to the due time), whom, and what the engine does then."""

    at: str
    to: tuple[str, ...]  #: relations, looked up when the rung is reached: owner deputy head lead sender coordinator …
    act: str = "remind"  #: ask | remind | tell | expire | queue | next_candidate | roster | outreach
    high: str = ""  #: at HIGH; empty: as `at`
    emergency: str = ""  #: at EMERGENCY; empty: HIGH's, on the wall clock

    def span(self, urgency: Urgency) -> Span:
        text = {
            Urgency.NORMAL: self.at,
            Urgency.HIGH: self.high or self.at,
            Urgency.EMERGENCY: self.emergency or self.high or self.at,
        }[urgency]
        return Span.parse(text)


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a kind of wait lasts at each urgency, and whom its silence reaches."""

    normal: str
    high: str
    rungs: tuple[Rung, ...]
    emergency: str = ""  #: empty: HIGH's, on the wall clock
    emergency_rungs: tuple[Rung, ...] = ()  #: empty: the same rungs

    def due(self, opened: datetime, hours: Hours, urgency: Urgency) -> datetime:
        """Say when a wait opened at `opened` is due."""
        text = {
            Urgency.NORMAL: self.normal,
            Urgency.HIGH: self.high,
            Urgency.EMERGENCY: self.emergency or self.high,
        }[urgency]
        return Span.parse(text).after(opened, hours, emergency=urgency is Urgency.EMERGENCY)

    def steps(self, urgency: Urgency) -> tuple[Rung, ...]:
        return self.emergency_rungs if urgency is Urgency.EMERGENCY and self.emergency_rungs else self.rungs

    def ring_at(self, rung: int, opened: datetime, due: datetime, hours: Hours, urgency: Urgency) -> datetime | None:
        """Say when the rung numbered `rung` rings; None past the last one."""
        steps = self.steps(urgency)
        if rung >= len(steps):
            return None
        span = steps[rung].span(urgency)
        emergency = urgency is Urgency.EMERGENCY
        if span.unit == "%":
            return span.after(opened, hours, opened=opened, due=due, emergency=emergency)
        return due if span.n == 0 else span.after(due, hours, emergency=emergency)


#: After the last rung the same humans are told again at this pace, for as long as nobody acts.
AGAIN = Rung("5bd", (), high="1bd")


def _climb(*groups: str, first: str = "remind") -> tuple[Rung, ...]:
    """Rungs one business day apart (HIGH: four open hours), the first at the due time."""
    return tuple(
        Rung(
            "0" if i == 0 else f"{i}bd", tuple(to.split()), first if i == 0 else "tell", "0" if i == 0 else f"{4 * i}bh"
        )
        for i, to in enumerate(groups)
    )


_OFFER = (
    Rung("50%", ("receiver",), "remind"),
    Rung("0", ("receiver", "deputy"), "remind"),
    Rung("4bh", ("head",), "tell", high="2bh"),
    Rung("1bd", ("coordinator",), "expire", high="4bh"),
)
_EMERGENCY_OFFER = (
    Rung("0", ("receiver", "deputy"), "roster", emergency="0"),
    Rung("30min", ("coordinator", "official"), "next_candidate", emergency="30min"),
    Rung("90min", ("coordinator",), "expire", emergency="90min"),
)
_CHECK_IN = (
    Rung("0", ("owner",), "ask"),
    Rung("2d", ("owner",), "remind"),
    Rung("4d", ("deputy",), "tell"),
    Rung("5d", ("lead",), "tell"),
    Rung("7d", ("coordinator",), "queue"),
)
#: 通告・通報: everybody who may make it, and oftener than any other ladder, until somebody has.
_REPORT = (
    Rung("0", ("owner", "coordinator", "official")),
    Rung("15min", ("coordinator", "official", "final")),
    *(Rung(at, ("owner", "coordinator", "official", "final")) for at in ("45min", "2h", "6h", "12h")),
)
_CHILD_SAFETY = (
    Rung("50%", ("owner",)),
    Rung("75%", ("owner", "coordinator")),
    *(Rung(at, ("owner", "coordinator", "official", "final")) for at in ("0", "3h", "12h")),
)
_QUEUE_AT_END = "queue"


def _to_queue(*rungs: Rung) -> tuple[Rung, ...]:
    return (*rungs[:-1], replace(rungs[-1], act=_QUEUE_AT_END))


#: kind of wait → its policy. Every ladder ends at a coordinator's queue item or at the final owner.
DEFAULTS: Mapping[str, Policy] = {
    "screening": Policy("1bd", "same_day", _to_queue(*_climb("lead", "head", "coordinator"))),
    "react": Policy("2bd", "4bh", _OFFER, emergency="30min", emergency_rungs=_EMERGENCY_OFFER),
    "decide": Policy("5bd", "1bd", _OFFER),
    "decide_weekly": Policy("10bd", "1bd", _OFFER),
    "answer_question": Policy("1bd", "2bh", _to_queue(*_climb("sender", "deputy", "coordinator"))),
    "next_step": Policy("2bd", "2bh", _to_queue(*_climb("owner", "deputy", "coordinator"))),
    "movement_intake": Policy("3bd", "1bd", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "movement_untangling": Policy("20bd", "5bd", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "movement_role_division": Policy("10bd", "3bd", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "movement_support": Policy("5bd", "2bd", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "movement_watching": Policy("5bd", "2bd", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "queue": Policy("1bd", "2bh", _climb("coordinator2", "body_head", "official final")),
    "first_contact": Policy("5bd", "2bd", _to_queue(*_climb("holder", "head sender", "coordinator")), emergency="6h"),
    "first_contact_again": Policy("5bd", "1bd", _to_queue(*_climb("holder", "head sender", "coordinator")), emergency="6h"),
    "checkin": Policy("1mo", "14d", _CHECK_IN),
    "checkin_missed": Policy("7d", "2d", _CHECK_IN),
    "checkin_missed_harsh": Policy("3d", "2d", _CHECK_IN),
    "safety": Policy("same_day", "same_day", _climb("coordinator", "coordinator2 body_head", "official final")),
    "condition": Policy("1bd", "4bh", _to_queue(*_climb("sender", "deputy", "coordinator"))),
    "withdrawal": Policy("1bd", "4bh", _climb("coordinator", "coordinator2", "official final")),
    "on_hold": Policy("3mo", "3mo", _to_queue(*_climb("holder", "lead", "coordinator"))),
    "talk": Policy("same_day", "2bh", _climb("lead", "coordinator", "official final")),
    "conference": Policy("2bd", "1bd", _climb("official", "final")),
    "head_holds": Policy("10bd", "5bd", _to_queue(*_climb("head", "coordinator"))),
    "closing_notice": Policy("5bd", "5bd", (Rung("0", ("approver",), "ask_approval"),)),
    "approval": Policy("2bd", "2bd", _climb("approver", "next_approver", "official final", first="ask")),
    "plan_review": Policy("3mo", "3mo", (Rung("75%", ("lead",), "remind"), *_climb("lead", "coordinator", "official final"))),
    "decision": Policy("30d", "30d", _climb("lead", "coordinator", "official final")),
    "consent": Policy("10bd", "10bd", _climb("lead", "coordinator", "official final")),
    "interim": Policy("10bd", "10bd", _climb("coordinator", "coordinator2 body_head", "official final")),
    "recheck": Policy("1mo", "1mo", _to_queue(*_climb("lead", "coordinator", first="ask"))),
    "waitlist": Policy("1mo", "1mo", _to_queue(*_climb("receiver", "coordinator", first="ask"))),
    "result": Policy("1mo", "14d", _to_queue(Rung("1bd", ("holder",)), Rung("5bd", ("coordinator",), "tell"))),
    "report": Policy("15min", "15min", _REPORT),
    "child_safety": Policy("48h", "48h", _CHILD_SAFETY),
    "report_follow": Policy("1mo", "1mo", _climb("official", "coordinator", "official final")),
    "danger": Policy(
        "15min", "15min", (Rung("0", ("roster",), "roster", emergency="0"),), emergency="15min",
        emergency_rungs=(Rung("0", ("roster",), "roster", emergency="0"),),
    ),
}  # fmt: skip
