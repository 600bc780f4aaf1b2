"""Before a weekend or a long closure: the real due time, and what to do before the doors close (workflow.md §3)."""

from datetime import datetime, timedelta
from typing import Final

from bot.voice.speech import Voice
from workflow.case import Case, Wait
from workflow.people import Town
from workflow.promise import hours_for
from workflow.who import reach

#: A closure of so many whole days is named on the whole last day before it, a shorter one from noon on.
LONG: Final = 4
SHORT: Final = 2
NOON: Final = 12


def before_closure(wait: Wait, case: Case, town: Town, at: datetime, voice: Voice, *, speaker: str) -> str:
    """Say when they close, when the wait is really due and what helps before; empty where no closure lies between.

    The hours are those of whoever has to act; `speaker` is addressed otherwise when that is they themselves.
    """
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    hours = hours_for(wait.owner, handoff, case, town, at)
    close = hours.end_of_day(at)
    today, last = at.astimezone(town.tz), close.astimezone(town.tz)
    if wait.due_at <= close or at >= close or last.date() != today.date():
        return ""
    again = hours.next_open(close + timedelta(minutes=1))
    closed = (again.astimezone(town.tz).date() - last.date()).days - 1
    if closed < (SHORT if today.hour >= NOON else LONG):
        return ""
    agency = town.agencies.get(_acting(wait, case, town), town.body)
    own = speaker in reach(wait.owner, case, town, at, handoff=handoff, owner=wait.owner)
    return voice.say(
        "closure.own" if own else "closure.others", agency=voice.agency(agency.code), phone=agency.phone or "",
        again=voice.moment(again, at), due=voice.moment(wait.due_at, at), close=voice.clock(close),
        what=voice.label("wait", wait.kind),
    ).replace("()", "")  # fmt: skip


def _acting(wait: Wait, case: Case, town: Town) -> str:
    """The agency whose hours count."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    if handoff and wait.owner in ("receiver", "holder", "head"):
        return handoff.to_agency
    if handoff and wait.owner == "sender":
        return handoff.from_agency
    if wait.owner in ("official", "final"):
        return town.staff[town.final_owner].agency
    return town.staff[case.lead].agency if wait.owner == "lead" and case.lead else town.body.code
