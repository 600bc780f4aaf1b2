"""Whose turn it is: one person's open questions, and what they wait for from others."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from bot.pages.frame import Desk, View
from bot.voice.cards import Card, card
from storage import cases
from storage.store import Tx
from workflow.case import Case, Wait
from workflow.who import reach

#: These sleep until their day.
SLEEPING: Final = frozenset({"checkin", "result", "plan_review", "recheck", "on_hold", "waitlist"})
#: What somebody who leads or sent something waits for, from others.
THEIRS: Final = frozenset({
    "react", "decide", "answer_question", "condition", "first_contact", "withdrawal", "approval", "closing_notice", "conference", "next_step",
})  # fmt: skip
MOST: Final = 80


def asks_now(wait: Wait, now: datetime) -> bool:
    """A check-in asks on its day; "no movement" and reviews only when they are due."""
    sleeping = wait.kind in SLEEPING or wait.kind.startswith("movement_")
    return not sleeping or wait.due_at <= now or wait.rung > 0


def my_cases(tx: Tx, found: Desk) -> list[Case]:
    me = found.reader
    ids = dict.fromkeys(stake.case.id for stake in cases.of_staff(tx, me.code, me.agencies))
    return cases.load_several(tx, list(ids)[:MOST], lock=False)


def people(found: Desk, case: Case, wait: Wait) -> tuple[str, ...]:
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    return reach(wait.owner, case, found.town, found.now, handoff=handoff, owner=wait.owner)


def mine(found: Desk, seen: list[Case]) -> list[tuple[Case, Wait]]:
    """The reader's turns, the most pressing first."""
    me = found.reader.code
    rows = [
        (case, wait) for case in seen for wait in case.waits
        if wait.paused_left is None and asks_now(wait, found.now) and me in people(found, case, wait)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[1].urgency.rank, row[1].due_at))


def theirs(found: Desk, seen: list[Case]) -> list[tuple[Case, Wait]]:
    """What the reader leads or sent and others are to answer."""
    return sorted(_theirs(found, seen), key=lambda row: (-row[1].urgency.rank, row[1].due_at))


def _theirs(found: Desk, seen: list[Case]) -> Iterator[tuple[Case, Wait]]:
    me = found.reader.code
    for case in seen:
        for wait in case.waits:
            handoff = case.handoff(wait.handoff) if wait.handoff else None
            sent = handoff is not None and handoff.sender == me
            if wait.kind in THEIRS and (case.lead == me or sent) and me not in people(found, case, wait):
                yield case, wait


def card_of(found: Desk, case: Case, wait: Wait, mark: str) -> Card:
    """An open question as the card that answers it."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    kind = "offer" if wait.kind in ("react", "decide") and handoff else "ring"
    data = {"what": wait.kind, "act": "ask", "due": wait.due_at.isoformat(), "subject": wait.subject}
    return card(
        kind,
        data,
        case,
        handoff,
        wait,
        reader=found.reader,
        room=None,
        town=found.town,
        at=found.now,
        voice=found.voice,
        mark=mark,
    )


def card_view(found: Desk, case: Case, wait: Wait, mark: str, hidden: list[tuple[str, str]]) -> View:
    return card_of(found, case, wait, mark).view(f"turn-{wait.id}", {}) | {"hidden": hidden}
