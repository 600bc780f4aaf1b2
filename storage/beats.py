"""Processes among each other: who does a calendar's beat, and who holds what only one may hold."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, func, or_, select

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_new, insert_or_update

_B: Final = tables.beats
_L: Final = tables.leases

_CLAIM: Final = Prepared(insert_new(_B, _B.c.name))
_LAST: Final = Prepared(select(func.max(_B.c.instant)).where(_B.c.name == bindparam("name")))
_FORGET: Final = Prepared(delete(_B).where(_B.c.name == bindparam("name"), _B.c.instant != bindparam("but")))
_TAKE: Final = Prepared(
    insert_or_update(
        _L,
        ("name",),
        "holder",
        "until",
        where=or_(
            _L.c.holder == bindparam("me"),
            _L.c.until <= bindparam("now", type_=tables.Moment()),
            _L.c.until > bindparam("never", type_=tables.Moment()),
        ),
        returning=(_L.c.name,),
    )
)
_LET_GO: Final = Prepared(delete(_L).where(_L.c.name == bindparam("name"), _L.c.holder == bindparam("holder")))


def claim(tx: Tx, name: str, instant: datetime, at: datetime) -> bool:
    """Claim a beat; False when another process has it: the unique key is the only leader there is."""
    return tx.execute(_CLAIM, {"name": name, "instant": instant, "at": at}).first() is not None


def last(tx: Tx, name: str) -> datetime | None:
    """Find the newest instant of a beat that was claimed."""
    found: datetime | None = tx.execute(_LAST, {"name": name}).scalar()
    return found


def forget(tx: Tx, name: str, but: datetime) -> None:
    """Keep one instant of a beat and no other."""
    tx.execute(_FORGET, {"name": name, "but": but})


def take(tx: Tx, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """Take or renew a lease; False while somebody else holds it.

    One that would last twice as long as ours was taken by a clock that has been put back since: it holds nobody up.
    """
    never = now + 2 * (until - now)
    row = {"name": name, "holder": holder, "until": until, "me": holder, "now": now, "never": never}
    return tx.execute(_TAKE, row).first() is not None


def let_go(tx: Tx, name: str, holder: str) -> None:
    tx.execute(_LET_GO, {"name": name, "holder": holder})
