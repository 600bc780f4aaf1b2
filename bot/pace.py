"""When a push may leave: the noise budget and quiet hours. Inside (web chat, console) all shows at once; nothing is ever dropped.

And when what failed by a defect of ours is tried again.
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final, NamedTuple

from workflow.calendar import Hours, instant
from workflow.people import Quiet, Town

BUNDLES: Final = (time(8, 30), time(12, 0), time(16, 30))
A_DAY: Final = 3
A_WEEK_VOLUNTEER: Final = 1
#: Until the next try of what failed once, twice …; the last one again and again.
PAUSES: Final = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360))


class Push(NamedTuple):
    """What is known of a push before it is timed."""

    urgent: bool  #: HIGH or EMERGENCY: never held
    soft: bool  #: rides in a bundle anyway
    sparing: bool  #: to a volunteer, beside what they asked for
    hours: Hours
    quiet: Quiet | None = None  #: the reader's own hours without pushes


class Pushed(NamedTuple):
    """A push already sent or scheduled for the same person."""

    at: datetime
    case: int | None
    urgent: bool


def pause(tries: int) -> timedelta:
    """How long what has failed so often before rests when it fails once more."""
    return PAUSES[min(tries, len(PAUSES) - 1)]


def leaves_at(earliest: datetime, push: Push, others: Sequence[Pushed], case: int | None, town: Town) -> datetime:
    """Say when a push leaves: at once when urgent, else inside the reader's hours and budget, in a bundle when that is spent.

    Quiet hours hold it until they end; who is quiet all through the agency's hours is told as soon as they end.

    Letters with the same moment leave as one message, which counts once (I28: three a person a business day, one a case a day,
    volunteers one a week).
    """
    if push.urgent:
        return earliest
    at = _calm(push.hours.next_open(earliest), push, town)
    if push.soft:
        at = _calm(next_bundle(at, push.hours, town), push, town)
    for _ in range(400):
        if _fits(at, push, others, case, town):
            return at
        at = _calm(next_bundle(at + timedelta(minutes=1), push.hours, town), push, town)
    return at


def _calm(at: datetime, push: Push, town: Town) -> datetime:
    """The first moment from `at` on that is open and not quiet; a day that has none ends with the quiet hours."""
    ends = quiet_until(at, push.quiet, town)
    if ends == at:
        return at
    opens = push.hours.next_open(ends)
    return opens if quiet_until(opens, push.quiet, town) == opens else ends


def quiet_until(at: datetime, quiet: Quiet | None, town: Town) -> datetime:
    """When the quiet hours around a moment end; the moment itself outside of them."""
    if quiet is None or quiet.start == quiet.end:
        return at
    local = at.astimezone(town.tz)
    minute = local.hour * 60 + local.minute
    over_midnight = quiet.start > quiet.end
    late, early = minute >= quiet.start, minute < quiet.end
    if not ((late or early) if over_midnight else (late and early)):
        return at
    day = local.date() + timedelta(days=1 if over_midnight and late else 0)
    return instant(day, time(quiet.end // 60, quiet.end % 60), town.tz)


def _fits(at: datetime, push: Push, others: Sequence[Pushed], case: int | None, town: Town) -> bool:
    day = at.astimezone(town.tz).date()
    calm = [o for o in others if not o.urgent]
    today = {o.at for o in calm if o.at.astimezone(town.tz).date() == day}
    if case is not None and any(o.case == case and o.at in today and o.at != at for o in calm):
        return False
    if at in today:
        return True  # joins a bundle that leaves anyway
    if push.sparing:
        week = town.limits.get("push_a_week_volunteers", A_WEEK_VOLUNTEER)
        return len({o.at for o in calm if abs(o.at - at) < timedelta(days=7)}) < week
    return len(today) < town.limits.get("push_a_day", A_DAY)


def next_bundle(at: datetime, hours: Hours, town: Town) -> datetime:
    """The next 08:30, 12:00 or 16:30 of a day on which the reader's agency is open."""
    local = at.astimezone(town.tz)
    for ahead in range(400):
        day = local.date() + timedelta(days=ahead)
        for clock in BUNDLES:
            moment = instant(day, clock, town.tz)
            if moment >= at and hours.next_open(moment).astimezone(town.tz).date() == day:
                return moment
    return at
