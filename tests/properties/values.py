"""The sample town and its cases as plain values: no database, no clock that runs."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from bot.town import Doc, build
from tests.town import START, sample
from workflow.case import Asked, Case, Consent, Handoff, Issue, Need, Proposal
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome
from workflow.path import ASKED, ENDED, HELD
from workflow.people import Post, Role, Staff, Town

NOW = START.astimezone(UTC)


@cache
def the_doc() -> Doc:
    """Reading the file takes a second: once is enough."""
    return sample()


@cache
def the_town() -> Town:
    return build(the_doc(), version=1)


STRANGER = Staff("", "somebody", (Post("", Role.HOST),))

#: Somebody for every relation and post, each in no other relation to `the_case`.
CAST = {
    "lead": "sato",
    "sender": "suzuki",
    "holder": "mori",
    "receiver": "yoshida",
    "head": "matsumoto",
    "team": "ono",
    "watcher": "yamamoto",
    "approver": "aoki",
    "staff": "kato",
    "coordinator": "takahashi",
    "official": "ogawa",
    "host": "ueda",
    "admin": "endo",
    "privacy": "matsui",
}
ROLES = (*CAST, "clock", "stranger")

#: What each of them is, in the words of the edges' actors. A coordinator may do whatever lead, holder or sender may.
IS: dict[str, set[str]] = {
    "lead": {"lead"},
    "sender": {"sender"},
    "holder": {"holder", "receiver"},
    "receiver": {"receiver"},
    "head": {"receiver", "head"},
    "team": {"team"},
    "watcher": {"watcher", "team"},
    "approver": {"approver"},
    "staff": {"staff"},
    "coordinator": {"coordinator", "lead", "holder", "sender", "team", "approver"},
    "official": {"official", "approver"},
    "host": set(),
    "admin": set(),
    "privacy": set(),
    "clock": {"clock"},
    "stranger": set(),
}


class Ids:
    """Ids that count up."""

    def __init__(self, start: int = 10_000) -> None:
        self._counter = itertools.count(start)

    def __call__(self) -> int:
        return next(self._counter)


def act(role: str, *, at: datetime = NOW, town: Town | None = None, fresh: Ids | None = None) -> Act:
    """Somebody of the cast does something."""
    town = town or the_town()
    if role == "clock":
        return Act(None, at, town, "auto", fresh or Ids())
    speaker = STRANGER if role == "stranger" else town.staff[CAST.get(role, role)]
    agency = "" if role == "stranger" else speaker.agency
    return Act(speaker, at, town, "web", fresh or Ids(), agency)


def handoff(state: str, **changes: Any) -> Handoff:
    """つなぎ of the disability service to ひばり, in a state, with what such a row carries."""
    held = state in (*HELD, "completed", "failed", "released")
    before = NOW - timedelta(days=3)
    fields: dict[str, Any] = {
        "sender": "suzuki", "from_agency": "houkatsu-kita", "to_agency": "hibari", "offered_at": before, "basis": "consent",
        "issues": (1,),
    }  # fmt: skip
    if held:
        fields |= {"holder": "mori", "accepted_at": before}
    if state in ("active", "on_hold", "completed"):
        fields |= {"connected_at": before}
    if state == "on_hold":
        fields |= {"left": "active", "until": NOW + timedelta(days=20)}
    if state == "info_requested":
        fields |= {"left": "offered", "question": "wish", "questions": 1}
    if state in ("considering", "waitlisted"):
        fields |= {"until": NOW + timedelta(days=4), "considered": state == "considering"}
    if state == "conditional":
        fields |= {"condition": "schedule"}
    if state in ENDED:
        fields |= {"ended_at": before}
    return Handoff(501, 1, changes.pop("duty", "disability"), state, **(fields | changes))


@cache
def the_case(stage: str = "support", offer: Handoff | None = None, **changes: Any) -> Case:
    """A case of 佐藤 (つばさ) with every guard's fact in place; 小野 holds outreach and 山本 watches."""
    before = NOW - timedelta(days=10)
    role = Handoff(
        502, 2, "outreach", "active", "sato", "tsubasa", "wakaba", before, "consent", holder="ono", issues=(2,), accepted_at=before,
        connected_at=before, result_at=before,
    )  # fmt: skip
    watch = replace(role, id=503, no=3, duty="watch", to_agency="minsei-kita", holder="yamamoto", issues=())
    first = (offer,) if offer else ()
    agencies = [a for a in ("hibari", "wakaba", "minsei-kita") if offer or a != "hibari"]
    duties = dict(zip(("hibari", "wakaba", "minsei-kita"), ("disability", "outreach", "watch"), strict=True))
    fields: dict[str, Any] = {
        "id": 77, "number": "385-267-52", "household": 9, "stage": stage, "urgency": Urgency.NORMAL, "opened_at": before,
        "opened_by": "sato", "opened_agency": "tsubasa", "lead": "sato", "screening": "continue", "version": 1,
        "consent": Consent("full", (), before), "conference": "not_needed", "interval": "1mo", "signs": 4,
        "issues": (Issue(1, "disability", status="gap"), Issue(2, "withdrawal", status="held")),
        "needs": tuple(Need(duties[a], (Asked(a, before),)) for a in agencies), "handoffs": (*first, role, watch),
        "left": "support" if stage == "suspended" else None, "recheck": NOW + timedelta(days=9) if stage == "suspended" else None,
    }  # fmt: skip
    if stage == "closed":
        fields |= {"handoffs": first, "closed_at": before, "closing_reason": "goal_reached"}
    case = Case(**(fields | changes))
    return settled(case)


def settled(case: Case) -> Case:
    """The case with the waits that it must have."""
    return replace(Outcome(case, act("clock", at=NOW - timedelta(days=2), fresh=Ids(2_000))).done().case)


def proposed(case: Case, kind: str, by: str = "sato") -> Case:
    """The same with a closing or a suspension that waits for its second person, the notice over."""
    recheck = NOW + timedelta(days=30) if kind == "suspend" else None
    return settled(
        replace(case, proposal=Proposal(kind, by, NOW - timedelta(days=8), "goal_reached", asked=True, recheck=recheck))
    )


__all__ = [
    "ASKED",
    "CAST",
    "HELD",
    "IS",
    "NOW",
    "ROLES",
    "Ids",
    "act",
    "handoff",
    "proposed",
    "settled",
    "the_case",
    "the_doc",
    "the_town",
]
