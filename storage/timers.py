"""Timers: the next instant at which each wait rings. `waits.save` sets and cancels them; here they are settled."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy import bindparam, func, or_, select, update

from storage import tables
from storage.prepared import Prepared, names_of, several
from storage.tx import Tx
from storage.upsert import insert_or_update

_T: Final = tables.timers
_W: Final = tables.waits
_LIVE: Final = _T.c.fired_at.is_(None) & _T.c.cancelled_at.is_(None)


class Timer(NamedTuple):
    id: int
    wait_id: int
    case_id: int | None
    rung: int
    due_at: datetime
    tries: int = 0  #: how often it could not be rung


_FIELDS: Final = tuple(_T.c[name] for name in Timer._fields)
_RINGS: Final = (
    _LIVE,
    _T.c.due_at <= bindparam("now"),
    or_(_T.c.retry_at.is_(None), _T.c.retry_at <= bindparam("now")),
)
_OLDEST: Final = Prepared(select(*_FIELDS).where(*_RINGS).order_by(_T.c.due_at, _T.c.id).limit(bindparam("limit")))
#: Found by what waits urgently, which is little, not among all that is due.
_URGENT: Final = Prepared(
    select(*_FIELDS)
    .join(_W, _W.c.id == _T.c.wait_id)
    .where(*_RINGS, _W.c.closed_at.is_(None), _W.c.urgency.in_([tables.constant(word) for word in tables.URGENT]))
    .order_by(_W.c.urgency, _T.c.due_at, _T.c.id)  # emergency stands before high
    .limit(bindparam("limit"))
)
_DUE_OF: Final = (
    select(*_FIELDS).where(*_RINGS, _T.c.case_id.in_(bindparam("cases", expanding=True))).order_by(_T.c.due_at, _T.c.id)
)
_TOWN: Final = select(tables.municipality.c.version).scalar_subquery()
_PUT_OFF: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"), _T.c.tries == bindparam("of_tries"), _LIVE)
    .values(tries=_T.c.tries + 1, retry_at=bindparam("again"))
)
#: When the next timer rings: of those that never failed, and of those that are tried again. Each by its own index.
NEXT: Final = select(func.min(_T.c.due_at)).where(_LIVE, _T.c.retry_at.is_(None))
NEXT_AGAIN: Final = select(func.min(_T.c.retry_at)).where(_LIVE, _T.c.retry_at.is_not(None))
_NEXT: Final = Prepared(select(NEXT.scalar_subquery(), NEXT_AGAIN.scalar_subquery()))
_PENDING: Final = Prepared(select(func.count()).select_from(_T).where(_LIVE))
_GIVE_BACK: Final = Prepared(
    insert_or_update(_T, ("wait_id", "rung"), "due_at", "fired_at", "cancelled_at", "tries", "retry_at")
)


def due(tx: Tx, now: datetime, limit: int = 100) -> list[Timer]:
    """List timers that are due, emergencies and urgent ones first, then the longest; nothing is locked. `limit` or a few more.

    What could not be rung waits for its next try.
    """
    given = {"now": now, "limit": limit}
    both = [Timer(*row) for statement in (_URGENT, _OLDEST) for row in tx.execute(statement, given)]
    found = list({timer.id: timer for timer in both}.values())[:limit]
    if len(found) < limit:
        return found
    # After a long absence: with a case come all of its timers, so that what its readers hear is one message.
    own, here = {t.case_id for t in found if t.case_id is not None}, {t.id for t in found}
    rest = (Timer(*row) for row in tx.execute(_DUE_OF, {"now": now, "cases": sorted(own)}))
    return [*found, *(timer for timer in rest if timer.id not in here)]


def settle(tx: Tx, ids: Sequence[int], now: datetime) -> tuple[frozenset[int], int | None]:
    """Make timers such as have rung; answer which, and the town's version, which the ring asks for next.

    Missing is what has rung or been cancelled meanwhile; None where all of it has.
    """
    rows = [row for some in several(ids) for row in tx.execute(_settle(some.size), some.named | {"at": now})]
    return frozenset(id_ for id_, _ in rows), rows[0][1] if rows else None


@cache
def _settle(size: int) -> Prepared:
    return Prepared(
        update(_T).where(_T.c.id.in_(names_of(size)), _LIVE).values(fired_at=bindparam("at")).returning(_T.c.id, _TOWN)
    )


def put_off(tx: Tx, timer: Timer, again: datetime) -> bool:
    """Let a timer that could not be rung wait; False when another process has done so, or it has rung."""
    return tx.execute(_PUT_OFF, {"of_id": timer.id, "of_tries": timer.tries, "again": again}).rowcount == 1


def next_due(tx: Tx) -> datetime | None:
    """Find when the next timer rings."""
    return sooner(tx.execute(_NEXT).one())


def sooner(times: Iterable[datetime | None]) -> datetime | None:
    """The earliest of some moments."""
    return min((at for at in times if at is not None), default=None)


def live(tx: Tx) -> int:
    """Count the timers that will ring."""
    return int(tx.execute(_PENDING).scalar_one())


def give_back(tx: Tx, wait: int, case: int | None, rung: int, at: datetime) -> None:
    """Set the timer of a wait that lost it, whatever became of the one before."""
    tx.execute(_GIVE_BACK, {"wait_id": wait, "case_id": case, "rung": rung, "due_at": at})
    tx.flag("timers")
