"""Business time: opening hours, closed days and the spans that waits are made of. Nothing here reads the clock.

Moments are aware datetimes, given in any zone and returned in UTC; local time is known in this file alone. An interval
holds its opening and not its closing, but a wait may fall due *at* closing time (`Hours.admits`). A local time that a
zone skips means the first instant after the gap, a repeated one its first occurrence.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate, islice
from math import inf
from typing import Final, Literal, NamedTuple, Self, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Minutes = tuple[int, int]  #: from and to, in minutes from local midnight; 1440 is the end of the day
Week = tuple[tuple[Minutes, ...], ...]
Interval = tuple[datetime, datetime]
Unit = Literal["bd", "bh", "d", "mo", "min", "h", "%", "same_day", "at_once", "now"]

DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)
AT_ONCE: Final = timedelta(minutes=15)
NOON: Final = time(12)
SAME_DAY_LEAST: Final = 120.0  #: open minutes that "same day" must leave the receiver
LONGEST_CLOSURE: Final = 1_100  #: days; nothing open for three years is a mistake, not a closure
LONGEST_SPAN: Final = 400  #: days
REMEMBERED_DAYS: Final = 4_000
BLOCK: Final = 64 * DAY
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
VOLUNTEER_WEEK: Final[Week] = (((600, 1020),),) * 7


class Block(NamedTuple):
    """The open time in 64 days of UTC: what makes sums over months cheap."""

    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    sums: tuple[timedelta, ...]  #: open time up to each end
    total: timedelta

    def before(self, at: datetime) -> timedelta:
        i = bisect_right(self.starts, at) - 1
        return self.sums[i] - max(self.ends[i] - at, timedelta()) if i >= 0 else timedelta()


@dataclass(frozen=True)
class Hours:
    """Opening hours of one agency (or the calendar-day 10:00–17:00 of volunteers)."""

    zone: str  #: IANA name
    week: Week  #: seven entries, Monday first; each holds sorted, disjoint intervals, () is closed
    closed: frozenset[date]  #: holidays, 12/29–1/3, own closures
    _tz: ZoneInfo = field(init=False, repr=False, compare=False)
    _days: dict[date, tuple[Interval, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _blocks: dict[int, Block] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_week(self.week)
        object.__setattr__(self, "_tz", _zone(self.zone))

    def is_open(self, at: datetime) -> bool:
        """Say whether the doors are open; at closing time they no longer are."""
        at = _utc(at)
        return self.next_open(at) == at

    def admits(self, at: datetime) -> bool:
        """Say whether a wait may fall due at `at`: while open, or exactly at closing time."""
        at = _utc(at)
        return self._settle(at) == at

    def next_open(self, at: datetime) -> datetime:
        """Return `at` itself when open, else the start of the next interval."""
        at = _utc(at)
        return next(max(at, start) for start, end in self._intervals(at) if end > at)

    def prev_close(self, at: datetime) -> datetime:
        """Return the end of the last interval that ended at or before `at`."""
        at = _utc(at)
        days = self._open_days(self._local(at).date() + DAY, -DAY)
        return next(end for _, spans in days for _, end in reversed(spans) if end <= at)

    def end_of_day(self, at: datetime) -> datetime:
        """Return the first close of a business day at or after `at`: today's, or the next one's once it has passed."""
        at = _utc(at)
        days = self._open_days(self._local(at).date() - DAY)
        return next(close for _, spans in days if (close := spans[-1][1]) >= at)

    def open_minutes(self, start: datetime, end: datetime) -> float:
        """Return the minutes open between two moments, 0 when `end` is not after `start`."""
        start, end = _utc(start), _utc(end)
        if end <= start:
            return 0.0
        first, last = (start - EPOCH) // BLOCK, (end - EPOCH) // BLOCK
        between = self._block(last).before(end) - self._block(first).before(start)
        return sum((self._block(number).total for number in range(first, last)), between) / MINUTE

    def add_minutes(self, at: datetime, minutes: float) -> datetime:
        """Return the first admitted moment (so maybe a closing time) that many open minutes after `at`."""
        if not 0 <= minutes < inf:
            raise ValueError(f"Open minutes are counted forward, not {minutes}.")
        at = self._settle(_utc(at))
        if not (wanted := minutes * MINUTE):
            return at
        number = (at - EPOCH) // BLOCK
        wanted += self._block(number).before(at)
        while wanted > (block := self._block(number)).total:
            wanted -= block.total
            number += 1
        i = bisect_left(block.sums, wanted)
        return block.ends[i] - (block.sums[i] - wanted)

    def add_days(self, at: datetime, n: int) -> datetime:
        """Return the same clock time on the n-th next open day, moved into that day's hours.

        Before opening it becomes the opening, in a gap the next interval, after closing the day's closing time.
        A start on a closed day counts from that day: Saturday noon + 1 is Monday noon. 0 days is `at`, or the next
        opening.
        """
        at = _utc(at)
        if n < 0:
            raise ValueError(f"Business days are counted forward, not {n}.")
        if n == 0:
            return self._settle(at)
        local = self._local(at)
        return self._moved(self._open_day_after(local.date(), n), local.time())

    def days_between(self, start: datetime, end: datetime) -> int:
        """Return the whole business days between: the largest n with `add_days(start, n) <= end`, or 0."""
        start, end = _utc(start), _utc(end)
        first, last = self._local(start), self._local(end).date()
        days = [day for day in _dates(first.date() + DAY, last) if self._day(day)]
        if days and self._moved(days[-1], first.time()) > end:
            days.pop()
        return len(days)

    def same_day(self, at: datetime) -> datetime:
        """Return today's close if two open hours are left, else 12:00 of the next open day, moved into its hours."""
        at = _utc(at)
        today = self._local(at).date()
        if spans := self._day(today):
            close = spans[-1][1]
            if self.open_minutes(at, close) >= SAME_DAY_LEAST:
                return close
        return self._moved(self._open_day_after(today), NOON)

    def later(self, at: datetime, *, days: int = 0, months: int = 0) -> datetime:
        """Return the same local clock time that many calendar days or months on, open or not.

        31 January + 1 month is the last of February.
        """
        at = _utc(at)
        local = self._local(at)
        there = instant(_months_on(local.date(), months) + days * DAY, local.time(), self._tz)
        return max(at, there)  # 0 days on in an hour that the clock repeats would be the first of the two

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self._tz)

    def _settle(self, at: datetime) -> datetime:
        return next(max(at, start) for start, end in self._intervals(at) if end >= at)

    def _moved(self, day: date, clock: time) -> datetime:
        """Return a clock time of an open day, moved into that day's hours."""
        wanted, spans = instant(day, clock, self._tz), self._day(day)
        return next((max(wanted, start) for start, end in spans if end >= wanted), spans[-1][1])

    def _open_day_after(self, day: date, n: int = 1) -> date:
        return next(islice(self._open_days(day + DAY), n - 1, None))[0]

    def _intervals(self, at: datetime) -> Iterator[Interval]:
        """Yield every interval in order, from the day before `at` on: one that ends at 24:00 ends on this date."""
        for _, spans in self._open_days(self._local(at).date() - DAY):
            yield from spans

    def _open_days(self, day: date, step: timedelta = DAY) -> Iterator[tuple[date, tuple[Interval, ...]]]:
        """Yield the open days from `day` on and their intervals, without end."""
        idle = 0
        while idle <= LONGEST_CLOSURE:
            if spans := self._day(day):
                idle = 0
                yield day, spans
            else:
                idle += 1
            day += step
        raise ValueError(f"These hours have no open day within three years of {day}.")

    def _day(self, day: date) -> tuple[Interval, ...]:
        spans = self._days.get(day)
        if spans is None:
            if len(self._days) >= REMEMBERED_DAYS:
                self._days.clear()
                self._blocks.clear()
            spans = self._days[day] = self._reckon(day)
        return spans

    def _block(self, number: int) -> Block:
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._sum_up(EPOCH + number * BLOCK)
        return block

    def _sum_up(self, low: datetime) -> Block:
        """Add up the open time in `BLOCK` from `low` on; an interval across an edge is cut there."""
        high = low + BLOCK
        days = _dates(self._local(low).date() - DAY, self._local(high).date() + DAY)
        spans = [(max(a, low), min(b, high)) for day in days for a, b in self._day(day) if a < high and b > low]
        sums = tuple(accumulate((end - start for start, end in spans), initial=timedelta()))
        return Block(tuple(a for a, _ in spans), tuple(b for _, b in spans), sums[1:], sums[-1])

    def _reckon(self, day: date) -> tuple[Interval, ...]:
        if day in self.closed:
            return ()
        midnight = datetime.combine(day, time())
        spans = [[_to_utc(midnight + m * MINUTE, self._tz) for m in pair] for pair in self.week[day.weekday()]]
        return tuple((start, end) for start, end in spans if start < end)  # the zone may skip an interval whole


#: One of each unit in minutes at its face value, which only bounds a span.
SIZES: Final[Mapping[Unit, int]] = {"bd": 1440, "bh": 60, "d": 1440, "mo": 30 * 1440, "min": 1, "h": 60}
WORDS: Final[Mapping[str, tuple[Unit, int]]] = {"same_day": ("same_day", 1), "at_once": ("at_once", 1), "0": ("now", 0)}


@dataclass(frozen=True)
class Span:
    """A duration as the town file writes it: 2bd, 4bh, 30d, 1mo, 15min, 6h, 50%, same_day, at_once or 0."""

    unit: Unit
    n: int  #: of same_day and at_once 1, of now 0

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ValueError(f"A span has no unit {self.unit!r}.")
        if self.n < 0:
            raise ValueError(f"A span cannot be negative: {self}.")
        if self.unit in ("same_day", "at_once", "now") and (self.unit, self.n) not in WORDS.values():
            raise ValueError(f"{self.unit!r} stands alone and takes no figure ({self.n}).")
        if self.unit == "%" and self.n > 100:
            raise ValueError(f"A share of a wait is at most 100%, not {self}.")
        if self.n * SIZES.get(self.unit, 0) > LONGEST_SPAN * 1440:
            raise ValueError(f"{self} is longer than {LONGEST_SPAN} days.")

    @classmethod
    @lru_cache(maxsize=1024)  # a town has some dozens, and every wait reads several
    def parse(cls, text: str) -> Self:
        """Read a span; raise ValueError with a sentence for anything that is not one."""
        text = text.strip()
        if text in WORDS:
            return cls(*WORDS[text])
        if found := re.fullmatch(r"(-?[0-9]{1,9}) ?(bd|bh|d|mo|min|h|%)", text):
            return cls(cast(Unit, found[2]), int(found[1]))
        raise ValueError(
            f"{text[:40]!r} is not a span; write it like 2bd, 4bh, 30d, 1mo, 15min, 6h, 50%, same_day, at_once or 0."
        )

    def __str__(self) -> str:
        return next((word for word, span in WORDS.items() if span[0] == self.unit), f"{self.n}{self.unit}")

    def after(
        self,
        at: datetime,
        hours: Hours,
        *,
        opened: datetime | None = None,
        due: datetime | None = None,
        emergency: bool = False,
    ) -> datetime:
        """Return the moment this span ends when it begins at `at`.

        A share ("50%") lies between `opened` and `due`, whatever `at`, and never after `due`. An emergency knows no
        hours: 1 bd and 1 d are 24 h, 1 bh is 1 h, same_day is 6 h, a share is of wall time; months stay on the local
        calendar.
        """
        at = _utc(at)
        if self.unit == "%":
            if opened is None or due is None:
                raise ValueError(f"{self} is a share of a wait and needs its opening and its due time.")
            return self._share(_utc(opened), _utc(due), None if emergency else hours)
        return self._in_emergency(at, hours) if emergency else self._in_hours(at, hours)

    def _in_hours(self, at: datetime, hours: Hours) -> datetime:
        match self.unit:
            case "bd":
                return hours.add_days(at, self.n)
            case "bh":
                return hours.add_minutes(at, self.n * 60)
            case "d":
                return hours.next_open(hours.later(at, days=self.n))
            case "mo":
                return hours.next_open(hours.later(at, months=self.n))
            case "same_day":
                return hours.same_day(at)
            case _:
                return at + self._wall()

    def _in_emergency(self, at: datetime, hours: Hours) -> datetime:
        return hours.later(at, months=self.n) if self.unit == "mo" else at + self._wall()

    def _wall(self) -> timedelta:
        match self.unit:
            case "at_once":
                return AT_ONCE
            case "same_day":
                return timedelta(hours=6)
            case unit:
                return self.n * SIZES.get(unit, 0) * MINUTE

    def _share(self, opened: datetime, due: datetime, hours: Hours | None) -> datetime:
        if self.n == 100 or due <= opened:
            return due
        if hours is None:
            return opened + (due - opened) * self.n / 100
        return min(due, hours.add_minutes(opened, hours.open_minutes(opened, due) * self.n / 100))


def hours_from(
    zone: str,
    text: str = "08:30-17:15",
    open_by_day: Mapping[str, str] | None = None,
    closed: Iterable[date] = (),
) -> Hours:
    """Make opening hours from the town file: `text` for Monday to Friday, or `open_by_day` alone when it is given.

    A day with a gap is "08:30-12:00, 13:00-17:15". Raise ValueError with a sentence for anything else.
    """
    by_day = dict.fromkeys(WEEKDAYS[:5], text) if open_by_day is None else open_by_day
    if unknown := [day for day in by_day if day not in WEEKDAYS]:
        raise ValueError(f"{unknown[0]!r} is not a day of the week; write {', '.join(WEEKDAYS)}.")
    week = tuple(_intervals_in(by_day[day]) if day in by_day else () for day in WEEKDAYS)
    return Hours(zone, week, frozenset(closed))


def expand_closed(entries: Sequence[str], years: range) -> frozenset[date]:
    """Return the dates that "08-15", "12-29..01-03" (each of `years`) and "2026-08-13..2026-08-15" (as written) name.

    A yearly run over New Year closes the first days of the first year, too, and goes to its end after the last.
    """
    return frozenset(day for entry in entries for day in _closed_by(entry, years))


def fiscal_year(day: date) -> int:
    """Return the fiscal year (年度), April to March."""
    return day.year if day.month >= 4 else day.year - 1


def local(at: datetime, zone: str) -> datetime:
    """Return a moment as an aware local datetime, for showing it."""
    return _utc(at).astimezone(_zone(zone))


def instant(day: date, clock: time, zone: str | ZoneInfo) -> datetime:
    """Return the UTC moment of a local date and clock time."""
    tz = _zone(zone) if isinstance(zone, str) else zone
    return _to_utc(datetime.combine(day, clock), tz)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is UTC:
        return at
    if at.utcoffset() is None:
        raise ValueError(f"The moment {at.isoformat()} has no time zone.")
    return at.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the database ("Asia") is an OSError
        raise ValueError(f"There is no time zone called {name!r}; use an IANA name such as Asia/Tokyo.") from None


def _to_utc(wall: datetime, tz: ZoneInfo) -> datetime:
    first = wall.replace(tzinfo=tz, fold=0)
    before, after = cast(timedelta, first.utcoffset()), cast(timedelta, first.replace(fold=1).utcoffset())
    if before < after:
        return _end_of_gap(wall, before, after, tz)
    return (wall - before).replace(tzinfo=UTC, fold=0)


def _end_of_gap(wall: datetime, before: timedelta, after: timedelta, tz: ZoneInfo) -> datetime:
    """Find the second in which the zone's offset changes; a skipped wall time lies around it (PEP 495)."""
    low = (wall - after).replace(microsecond=0, tzinfo=UTC, fold=0)

    def offset(second: int) -> timedelta:
        return cast(timedelta, (low + timedelta(seconds=second)).astimezone(tz).utcoffset())

    seconds = range(int((after - before).total_seconds()) + 2)
    return low + timedelta(seconds=bisect_left(seconds, after, key=offset))


def _dates(first: date, last: date) -> Iterator[date]:
    return map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1))


def _months_on(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _check_week(week: Week) -> None:
    if len(week) != 7:
        raise ValueError(f"A week of opening hours has seven days, not {len(week)}.")
    if not any(week):
        raise ValueError("Opening hours need at least one opening a week.")
    for name, day in zip(WEEKDAYS, week, strict=True):
        edges = [edge for pair in day for edge in pair]
        if any(start >= end for start, end in day) or edges != sorted(edges) or not all(0 <= e <= 1440 for e in edges):
            raise ValueError(f"The opening hours of {name} must lie within one day, in order and without overlap.")


def _intervals_in(text: str) -> tuple[Minutes, ...]:
    return tuple(_interval_in(part) for part in text.split(","))


def _interval_in(text: str) -> Minutes:
    found = re.fullmatch(r"\s*([0-9]{1,2}):([0-5][0-9])\s*-\s*([0-9]{1,2}):([0-5][0-9])\s*", text)
    if not found:
        raise ValueError(f"{text.strip()[:40]!r} is not an opening; write it like 08:30-17:15.")
    h1, m1, h2, m2 = map(int, found.groups())
    start, end = h1 * 60 + m1, h2 * 60 + m2
    if not start < end <= 1440:
        raise ValueError(f"The opening {text.strip()!r} must end after it starts, by 24:00 of the same day.")
    return start, end


def _closed_by(entry: str, years: range) -> Iterator[date]:
    """Yield the dates of one entry of `closed`."""
    text = entry.strip()
    for shape, expand in ((r"[0-9]{4}-[0-9]{2}-[0-9]{2}", _once), (r"[0-9]{2}-[0-9]{2}", _yearly)):
        if found := re.fullmatch(rf"({shape})(?:\.\.({shape}))?", text):
            return expand(found[1], found[2] or found[1], years)
    raise ValueError(f"{text[:40]!r} names no closed days; write 08-15, 12-29..01-03 or 2026-08-13..2026-08-15.")


def _once(first: str, last: str, years: range) -> Iterator[date]:
    start, end = _date(first), _date(last)
    if not 0 <= (end - start).days <= LONGEST_SPAN:
        raise ValueError(f"The closure {first}..{last} must end after it starts, within {LONGEST_SPAN} days.")
    return _dates(start, end)


def _yearly(first: str, last: str, years: range) -> Iterator[date]:
    days = (_date(f"2024-{last}") - _date(f"2024-{first}")).days % 366 + 1  # 2024 is a leap year: 02-29 is a day
    if days >= 365:
        raise ValueError(f"The closure {first}..{last} leaves no day of the year open.")
    wraps = last < first
    for day in _dates(date(years[0], 1, 1), date(years[-1] + wraps, 12, 31)) if years else ():
        name = day.isoformat()[5:]
        if first <= name <= last or (wraps and (name <= last or (name >= first and day.year in years))):
            yield day


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"There is no such day as {text.removeprefix('2024-')}.") from None
