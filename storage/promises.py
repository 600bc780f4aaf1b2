"""Queries that look for a broken promise, written apart from the code that keeps it.

What takes reading every row can be asked about some cases alone (`only`: their ids; None: all).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, exists, func, or_, select, type_coerce
from sqlalchemy.exc import DBAPIError

from storage import cases, journal, letters, looks, tables
from storage.tx import Tx
from workflow.case import Case

_C: Final = tables.cases
_W: Final = tables.waits
_T: Final = tables.timers
_H: Final = tables.handoffs
_J: Final = tables.journal
_L: Final = tables.letters
_I: Final = tables.inbox
_OPEN: Final = _C.c.stage != tables.constant("closed")
_WAITS: Final = _W.c.closed_at.is_(None)
_LIVE: Final = _T.c.fired_at.is_(None) & _T.c.cancelled_at.is_(None)
_ALIVE: Final = exists().where(tables.staff.c.code == _C.c.lead, tables.staff.c.active == 1)

#: More of one kind are one trouble: the rest is found when these are gone.
MOST: Final = 500
TOWN: Final = "town"  #: the key of what is wrong with the town's own journal


class Found(NamedTuple):
    """Something that ought not to be."""

    kind: str
    key: str  #: what of that kind: the same finding has the same key until it is gone
    case_id: int | None = None
    number: str | None = None  #: the case's
    times: int = 1


class Counts(NamedTuple):
    open: int
    closed: int
    waits: int
    lines: int


def counts(tx: Tx) -> Counts:
    def count(statement: object) -> int:
        return int(tx.execute(statement).scalar_one())

    return Counts(
        count(select(func.count()).select_from(_C).where(_OPEN)),
        count(select(func.count()).select_from(_C).where(~_OPEN)),
        count(select(func.count()).select_from(_W).where(_WAITS)),
        count(select(func.count()).select_from(_J)),
    )


# -- the promise, over all open cases


def without_one_lead(tx: Tx) -> list[Found]:
    """Open cases whose lead is missing, double or no longer in the town (I1)."""
    none_or_two = or_(
        and_(_C.c.lead.is_(None), _C.c.interim.is_(None)), and_(_C.c.lead.is_not(None), _C.c.interim.is_not(None))
    )
    gone = and_(_C.c.lead.is_not(None), ~_ALIVE)
    return _cases(tx, "lead", select(_C.c.id, _C.c.number).where(_OPEN, or_(none_or_two, gone)))


def without_open_wait(tx: Tx) -> list[Found]:
    """Open cases that wait for nothing (I25)."""
    waiting = exists().where(_W.c.case_id == _C.c.id, _WAITS)
    return _cases(tx, "wait", select(_C.c.id, _C.c.number).where(_OPEN, ~waiting))


def silent_waits(tx: Tx) -> list[Found]:
    """Open waits, of no case too, whose clock runs and that have no live timer (I4)."""
    rows = tx.execute(
        select(_W.c.id, _W.c.case_id, _C.c.number)
        .outerjoin(_C, _C.c.id == _W.c.case_id)
        .outerjoin(_T, and_(_T.c.wait_id == _W.c.id, _LIVE))
        .where(_WAITS, _T.c.id.is_(None), type_coerce(_W.c.doc, Text).not_like('%"paused_left":%'))
        .order_by(_W.c.id)
        .limit(MOST)
    )
    return [Found("timer", str(wait), case, number) for wait, case, number in rows]


def doubled_timers(tx: Tx) -> list[Found]:
    """Waits with more than one live timer: impossible while the unique index on them stands."""
    rows = tx.execute(
        select(_T.c.wait_id, func.min(_T.c.case_id)).where(_LIVE).group_by(_T.c.wait_id).having(func.count() > 1).limit(MOST)
    ).all()  # fmt: skip
    known = _numbers(tx, [case for _, case in rows])
    return [Found("timers", str(wait), case, known.get(case)) for wait, case in rows]


# -- of some cases, or all


def broken_chains(tx: Tx, only: Sequence[int] | None = None, *, town: bool = True) -> list[Found]:
    """Cases, and the town, whose journal does not hold (I11)."""
    return _chains(journal.verify(tx, only, town=town))


def broken_lately(tx: Tx, only: Sequence[int], after: int) -> list[Found]:
    """Cases whose journal does not hold where it has grown since the line with this id."""
    return _chains(journal.verify_since(tx, only, after))


def broken_looks(tx: Tx, newest: int, last: int | None, known: Sequence[str]) -> list[Found]:
    """Days whose chain of looks does not hold (I11), of the `newest` and those `known` to be broken.

    `last`: of the newest so many looks alone, and whether any is missing; None: all of them.
    """
    whole = {*known, *(end.day for end in looks.days(tx, newest) if last is None)}
    lately = looks.verify_lately(tx, newest, last) if last is not None else []
    broken = [*lately, *(one for day in sorted(whole) for one in looks.verify_day(tx, day))]
    return [Found("looks", day) for day in dict.fromkeys(one.day for one in broken)]


def _chains(breaches: Iterable[journal.Breach]) -> list[Found]:
    broken = {breach.case_id: breach.number for breach in breaches}
    return [Found("chain", TOWN if case is None else str(case), case, number) for case, number in broken.items()]


def offers_without_basis(tx: Tx, only: Sequence[int] | None = None) -> list[Found]:
    """Cases with a handoff whose offer names no basis (I26)."""
    asked = select(_C.c.id, _C.c.number, _H.c.doc).join(_H, _H.c.case_id == _C.c.id).where(_of(only))
    rows = tx.execute(asked.order_by(_C.c.id))
    return [
        Found("basis", str(i), i, n) for i, n in dict.fromkeys((i, n) for i, n, doc in rows if not doc.get("basis"))
    ]


def asked_after_death(tx: Tx, only: Sequence[int] | None = None) -> list[Found]:
    """Open cases of somebody who has died that still wait for anything but the approval (I27)."""
    rows = tx.execute(
        select(_C.c.id, _C.c.number, _C.c.doc)
        .join(_W, and_(_W.c.case_id == _C.c.id, _WAITS))
        .where(_OPEN, _of(only), _W.c.kind.not_in(("approval", "queue")), type_coerce(_C.c.doc, Text).like('%"deceased":%'))
        .order_by(_C.c.id)
    )  # fmt: skip
    return [Found("death", str(i), i, n) for i, n in dict.fromkeys((i, n) for i, n, doc in rows if doc.get("deceased"))]


def readable(tx: Tx, only: Sequence[int]) -> Iterator[Case | Found]:
    """Read cases, unlocked; one that cannot be read is a finding and the others are read."""
    try:
        yield from cases.load_several(tx, only)
        return
    except DBAPIError:
        raise
    except Exception:
        known = _numbers(tx, only)
    for id_ in sorted(set(only)):
        try:
            yield from cases.load_several(tx, [id_])
        except DBAPIError:
            raise
        except Exception:
            yield Found("unreadable", str(id_), id_, known.get(id_))


def some_cases(tx: Tx, after: int, limit: int) -> list[int]:
    """List the ids of cases, closed ones too, a page after another."""
    return list(tx.execute(select(_C.c.id).where(_C.c.id > after).order_by(_C.c.id).limit(limit)).scalars())


# -- what should have been done by now


def overdue_timers(tx: Tx, before: datetime) -> list[Found]:
    """Cases with a timer that should have rung before a moment, whyever it has not."""
    late = select(_C.c.id, _C.c.number).join(_T, _T.c.case_id == _C.c.id).where(_LIVE, _T.c.due_at < before)
    return _cases(tx, "late", late.distinct())


def late_timers(tx: Tx, before: datetime) -> list[Found]:
    """Timers that nobody has rung, taken together; those that cannot be rung are `unringable`."""
    late = select(func.count()).select_from(_T).where(_LIVE, _T.c.due_at < before, _T.c.retry_at.is_(None))
    count = int(tx.execute(late).scalar_one())
    return [Found("late", "timers", times=count)] if count else []


def unringable_timers(tx: Tx) -> list[Found]:
    """Timers that failed when they were rung, and are tried again by and by."""
    rows = tx.execute(
        select(_T.c.id, _T.c.case_id, _C.c.number)
        .outerjoin(_C, _C.c.id == _T.c.case_id)
        .where(_LIVE, _T.c.retry_at.is_not(None))
        .order_by(_T.c.retry_at, _T.c.id)
        .limit(MOST)
    )
    return [Found("ring", str(id_), case, number) for id_, case, number in rows]


def late_letters(tx: Tx, before: datetime) -> list[Found]:
    """Platforms whose letters might have left before a moment and that wait for no pace."""
    waiting = and_(_L.c.state == tables.constant("pending"), _L.c.not_before < before, _L.c.why != letters.PACED)
    return _by_platform(tx, "letters", waiting)


def lost_leases(tx: Tx, before: datetime) -> list[Found]:
    """Platforms with letters whose lease ran out before a moment, and of which nobody has said what became."""
    return _by_platform(
        tx, "lease", and_(_L.c.state == tables.constant("leased"), _L.c.lease_until < before)
    )  # fmt: skip


def unwritten_letters(tx: Tx) -> list[Found]:
    """Letters, and copies of them outside, that could not be worded."""
    pending = and_(_L.c.state == tables.constant("pending"), _L.c.why == letters.UNWRITTEN)
    copies = and_(tables.is_true(_L.c.live), _L.c.why == letters.UNWRITTEN)
    found: dict[int, Found] = {}
    for one in (pending, copies):
        asked = select(_L.c.id, _L.c.case_id, _C.c.number).outerjoin(_C, _C.c.id == _L.c.case_id).where(one)
        for id_, case, number in tx.execute(asked.order_by(_L.c.id).limit(MOST)):
            found[id_] = Found("unwritten", str(id_), case, number)
    return list(found.values())


def stranded_events(tx: Tx, tries: int, before: datetime) -> list[Found]:
    """Parked events that nobody will try again: tried so often already, or due before a moment."""
    left = or_(_I.c.tries > tries, _I.c.next_at.is_(None), _I.c.next_at < before)
    parked = select(_I.c.id).where(_I.c.state == tables.constant("parked"), left).order_by(_I.c.id).limit(MOST)
    return [Found("event", str(id_)) for id_ in tx.execute(parked).scalars()]


def pushes_p95(tx: Tx) -> int:
    """The 95th percentile of pushes a person and day, urgent ones and answers aside (I28)."""
    rows = tx.execute(
        select(_L.c.to_staff, _L.c.sent_at).where(
            _L.c.surface.not_in(("web", "console")), _L.c.state.in_(("sent", "unknown")), ~_L.c.answer, ~_L.c.urgent
        ).distinct()
    )  # fmt: skip
    days = Counter((who, at.date()) for who, at in rows if at)
    ordered = sorted(days.values())
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else 0


def _cases(tx: Tx, kind: str, asked: Select[Any]) -> list[Found]:
    return [Found(kind, str(id_), id_, number) for id_, number in tx.execute(asked.order_by(_C.c.id))]


def _by_platform(tx: Tx, kind: str, which: ColumnElement[bool]) -> list[Found]:
    rows = tx.execute(select(_L.c.surface, func.count()).where(which).group_by(_L.c.surface).order_by(_L.c.surface))
    return [Found(kind, surface, times=count) for surface, count in rows]


def _of(only: Sequence[int] | None) -> ColumnElement[bool]:
    return _C.c.id.is_not(None) if only is None else _C.c.id.in_(only)


def _numbers(tx: Tx, ids: Sequence[int | None]) -> dict[int, str]:
    wanted = [id_ for id_ in ids if id_ is not None]
    return dict(map(tuple, tx.execute(select(_C.c.id, _C.c.number).where(_C.c.id.in_(wanted))))) if wanted else {}
