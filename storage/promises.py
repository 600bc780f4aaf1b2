"""Queries that look for a broken promise, written apart from the code that keeps it."""

from collections import Counter
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, or_, select

from storage import tables
from storage.store import Tx
from storage.timers import silent

_C: Final = tables.cases
_W: Final = tables.waits
_T: Final = tables.timers
_H: Final = tables.handoffs
_J: Final = tables.journal
_L: Final = tables.letters
_OPEN: Final = _C.c.stage != "closed"
_WAITING: Final = exists().where(_W.c.case_id == _C.c.id, _W.c.closed_at.is_(None))
_ALIVE: Final = exists().where(tables.staff.c.code == _C.c.lead, tables.staff.c.active == 1)


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
        count(select(func.count()).select_from(_W).where(_W.c.closed_at.is_(None))),
        count(select(func.count()).select_from(_J)),
    )


def without_one_lead(tx: Tx) -> list[str]:
    """Open cases whose lead is missing, double or no longer in the town (I1)."""
    none_or_two = or_(
        and_(_C.c.lead.is_(None), _C.c.interim.is_(None)), and_(_C.c.lead.is_not(None), _C.c.interim.is_not(None))
    )
    gone = and_(_C.c.lead.is_not(None), ~_ALIVE)
    return list(tx.execute(select(_C.c.number).where(_OPEN, or_(none_or_two, gone)).order_by(_C.c.id)).scalars())


def without_open_wait(tx: Tx) -> list[str]:
    """Open cases that wait for nothing (I25)."""
    return list(tx.execute(select(_C.c.number).where(_OPEN, ~_WAITING).order_by(_C.c.id)).scalars())


def silent_waits(tx: Tx) -> list[str]:
    """Cases with an open wait that should ring and has no live timer (I4)."""
    ids = [case for _wait, case in silent(tx) if case is not None]
    return list(tx.execute(select(_C.c.number).where(_C.c.id.in_(ids)).order_by(_C.c.id)).scalars())


def overdue_timers(tx: Tx, before: datetime) -> list[str]:
    """Cases with a timer that should have rung before a moment."""
    late = select(_C.c.number).join(_T, _T.c.case_id == _C.c.id).where(
        _T.c.fired_at.is_(None), _T.c.cancelled_at.is_(None), _T.c.due_at < bindparam("before")
    )  # fmt: skip
    return list(tx.execute(late.distinct().order_by(_C.c.number), {"before": before}).scalars())


def offers_without_basis(tx: Tx) -> list[str]:
    """Cases with a handoff whose offer names no basis (I26)."""
    rows = tx.execute(select(_C.c.number, _H.c.doc).join(_H, _H.c.case_id == _C.c.id).order_by(_C.c.id))
    return list(dict.fromkeys(number for number, doc in rows if not doc.get("basis")))


def asked_after_death(tx: Tx) -> list[str]:
    """Open cases of somebody who has died that still wait for anything but the approval (I27)."""
    rows = tx.execute(
        select(_C.c.number, _C.c.doc, _W.c.kind)
        .join(_W, and_(_W.c.case_id == _C.c.id, _W.c.closed_at.is_(None)))
        .where(_OPEN)
    )
    return list(
        dict.fromkeys(number for number, doc, kind in rows if doc.get("deceased") and kind not in ("approval", "queue"))
    )


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
