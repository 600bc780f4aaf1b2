"""Timers: the next instant at which each wait rings. `waits.save` sets and cancels them; here they are settled."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Text, bindparam, func, select, type_coerce, update

from storage import tables
from storage.prepared import Prepared
from storage.store import Tx

_T: Final = tables.timers
_W: Final = tables.waits
_LIVE: Final = _T.c.fired_at.is_(None) & _T.c.cancelled_at.is_(None)


class Timer(NamedTuple):
    id: int
    wait_id: int
    case_id: int | None
    rung: int
    due_at: datetime


_DUE: Final = Prepared(
    select(_T.c.id, _T.c.wait_id, _T.c.case_id, _T.c.rung, _T.c.due_at)
    .where(_LIVE, _T.c.due_at <= bindparam("now"))
    .order_by(_T.c.due_at, _T.c.id)
    .limit(bindparam("limit"))
)
_TOWN: Final = select(tables.municipality.c.version).scalar_subquery()
#: With the version of the town, which the ring asks for next: one round trip less.
_SETTLE: Final = Prepared(
    update(_T).where(_T.c.id == bindparam("of_id"), _LIVE).values(fired_at=bindparam("at")).returning(_TOWN)
)
NEXT: Final = select(func.min(_T.c.due_at)).where(_LIVE)
_NEXT: Final = Prepared(NEXT)
_PENDING: Final = Prepared(select(func.count()).select_from(_T).where(_LIVE))
_SILENT: Final = Prepared(
    select(_W.c.id, _W.c.case_id)
    .outerjoin(_T, (_T.c.wait_id == _W.c.id) & _LIVE)
    .where(_W.c.closed_at.is_(None), _T.c.id.is_(None), type_coerce(_W.c.doc, Text).like('%"next_at":%'))
    .order_by(_W.c.id)
)


def due(tx: Tx, now: datetime, limit: int = 100) -> list[Timer]:
    """List timers that are due, the longest first; nothing is locked."""
    return [Timer(*row) for row in tx.execute(_DUE, {"now": now, "limit": limit})]


def settle(tx: Tx, timer_id: int, now: datetime) -> int | None:
    """Make a timer one that has rung and answer the town's version; None: it has rung or been cancelled meanwhile."""
    found: int | None = tx.execute(_SETTLE, {"of_id": timer_id, "at": now}).scalar()
    return found


def next_due(tx: Tx) -> datetime | None:
    """Find when the next timer rings."""
    found: datetime | None = tx.execute(_NEXT).scalar()
    return found


def live(tx: Tx) -> int:
    """Count the timers that will ring."""
    return int(tx.execute(_PENDING).scalar_one())


def silent(tx: Tx) -> list[tuple[int, int | None]]:
    """List (wait, case) that should ring and have no timer: an empty list, or a promise was lost."""
    return [(wait, case) for wait, case in tx.execute(_SILENT)]
