"""The pace of conversations outside: from when on each takes another message. Rows: every process keeps it, and after a start too."""

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_or_update

_P: Final = tables.paces

_KEYS: Final = ("surface", "conversation")
_TAKE: Final = Prepared(
    insert_or_update(
        _P, _KEYS, "free_at", where=_P.c.free_at <= bindparam("now", type_=tables.Moment()), returning=(_P.c.surface,)
    )
)
_HOLD: Final = Prepared(insert_or_update(_P, _KEYS, "free_at", newer="free_at"))
_ROW: Final = select(_P.c.free_at).where(
    _P.c.surface == bindparam("surface"), _P.c.conversation == bindparam("conversation")
)
_FREE_AT: Final = Prepared(_ROW)
_FREE: Final = Prepared(delete(_P).where(_P.c.free_at > bindparam("never")))
#: It is there and ours, whoever made it: rows that are not there cannot be locked.
_PLATFORM: Final = Prepared({
    name: statement.on_conflict_do_update(index_elements=list(_KEYS), set_={"free_at": _P.c.free_at}).returning(_P.c.free_at)
    for name, statement in (("sqlite", sqlite.insert(_P)), ("postgresql", postgresql.insert(_P)))
})  # fmt: skip


#: Nobody is silent for longer, whatever a platform asks for; a row that says so was written before the clock was put back.
LONGEST: Final = timedelta(minutes=15)


def clock_put_back(tx: Tx, now: datetime) -> None:
    """Free what a clock that has been put back since would hold for as long as that."""
    tx.execute(_FREE, {"never": now + LONGEST})


def take(tx: Tx, surface: str, conversation: str, now: datetime, until: datetime) -> bool:
    """Take a conversation for one message until a moment; False while it is not free."""
    row = {"surface": surface, "conversation": conversation, "free_at": until, "now": now}
    return tx.execute(_TAKE, row).first() is not None


def hold(tx: Tx, surface: str, conversation: str, until: datetime) -> None:
    """Send nothing more there before a moment; an earlier one changes nothing."""
    tx.execute(_HOLD, {"surface": surface, "conversation": conversation, "free_at": until})


def free_at(tx: Tx, surface: str, conversation: str) -> datetime | None:
    """From when on it takes another message; None: nothing has gone there yet."""
    found: datetime | None = tx.execute(_FREE_AT, {"surface": surface, "conversation": conversation}).scalar()
    return found


def room(tx: Tx, surface: str, now: datetime, second: int) -> int:
    """How many messages a whole platform takes at this moment, of so many a second; other processes wait until it is spent.

    The row of no conversation says until when its seconds are used up: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
    """
    free: datetime = tx.execute(_PLATFORM, {"surface": surface, "conversation": "", "free_at": now}).scalar_one()
    used = max(timedelta(), free - now)
    return max(0, second - ceil(used * second / timedelta(seconds=1)))


def spend(tx: Tx, surface: str, now: datetime, second: int, count: int) -> None:
    """Use up a platform's time for so many messages."""
    if count:
        free = free_at(tx, surface, "")
        hold(tx, surface, "", max(now, free or now) + count * timedelta(seconds=1) / second)
