"""One open question as the card that answers it."""

from datetime import datetime
from typing import Final

from bot.pages.frame import Desk, View
from bot.voice.cards import card
from workflow.case import Case, Wait

#: These sleep until their day.
SLEEPING: Final = frozenset({"checkin", "result", "plan_review", "recheck", "on_hold", "waitlist"})


def asks_now(wait: Wait, now: datetime) -> bool:
    """A check-in asks on its day; "no movement" and reviews only when they are due."""
    sleeping = wait.kind in SLEEPING or wait.kind.startswith("movement_")
    return not sleeping or wait.due_at <= now or wait.rung > 0


def card_view(found: Desk, case: Case, wait: Wait, mark: str, hidden: list[tuple[str, str]]) -> View:
    """A wait as its reader's card, with its buttons said on the spot."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    kind = "offer" if wait.kind in ("react", "decide") and handoff else "ring"
    data = {"what": wait.kind, "act": "ask", "due": wait.due_at.isoformat(), "subject": wait.subject}
    made = card(
        kind, data, case, handoff, wait, reader=found.reader, room=None, town=found.town, at=found.now,
        voice=found.voice, mark=mark,
    )  # fmt: skip
    return made.view(f"turn-{wait.id}", {}) | {"hidden": hidden}
