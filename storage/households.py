"""統合 and 分離: households that are one. A merge is a pointer that readers follow; nothing is moved and nothing sealed anew."""

from datetime import datetime
from typing import Final

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from storage import tables
from storage.tx import Tx
from workflow.household import Merge

_M: Final = tables.household_merges
_MERGE: Final = select(_M.c.id, _M.c.kept, _M.c.gone, _M.c.at, _M.c.by, _M.c.undone_at)


def kept(tx: Tx, household: int) -> int:
    """Follow the pointers to the household that is kept; itself when none stands."""
    seen = {household}
    while (
        to := tx.execute(select(_M.c.kept).where(_M.c.gone == household, _M.c.undone_at.is_(None))).scalar()
    ) is not None:
        if to in seen:
            break  # two merges that met: each still reads both
        seen.add(household := to)
    return household


def together(tx: Tx, household: int) -> tuple[int, ...]:
    """List all households that are read as one with this one, itself among them, the kept one first."""
    found = [kept(tx, household)]
    for one in found:
        more = tx.execute(
            select(_M.c.gone).where(_M.c.kept == one, _M.c.undone_at.is_(None)).order_by(_M.c.id)
        ).scalars()
        found += [gone for gone in more if gone not in found]
    return tuple(dict.fromkeys((*found, household)))


def merge(tx: Tx, stays: int, joins: int, by: str, at: datetime) -> int | None:
    """Let one household be read with another; None: they are one already, or somebody was faster."""
    stays, joins = kept(tx, stays), kept(tx, joins)
    if stays == joins:
        return None
    try:
        with tx.savepoint():
            row = {"kept": stays, "gone": joins, "at": at, "by": by}
            return int(tx.execute(insert(_M).returning(_M.c.id), row).scalar_one())
    except IntegrityError:
        return None


def merges(tx: Tx, households: tuple[int, ...]) -> list[Merge]:
    """List the standing merges among some households, the oldest first."""
    either = or_(_M.c.kept.in_(households), _M.c.gone.in_(households))
    return [Merge(*row) for row in tx.execute(_MERGE.where(either, _M.c.undone_at.is_(None)).order_by(_M.c.id))]


def one_merge(tx: Tx, id: int) -> Merge | None:
    row = tx.execute(_MERGE.where(_M.c.id == id)).first()
    return None if row is None else Merge(*row)


def split(tx: Tx, id: int, by: str, at: datetime) -> bool:
    """Undo a merge exactly; False: it has been undone before."""
    undone = update(_M).where(_M.c.id == id, _M.c.undone_at.is_(None)).values(undone_at=at, undone_by=by)
    return bool(tx.execute(undone).rowcount)
