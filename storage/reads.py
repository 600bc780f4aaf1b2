"""How far somebody has read in each room; '' is their own."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import and_, bindparam, func, or_, select

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_or_update

_T: Final = tables.reads
_L: Final = tables.letters
_SEEN: Final = Prepared(insert_or_update(_T, ("staff", "room"), "letter_id", newer="letter_id"))
_OF: Final = Prepared(select(_T.c.room, _T.c.letter_id).where(_T.c.staff == bindparam("staff")))


def seen(tx: Tx, staff: str, room: str, letter_id: int) -> None:
    """Note that somebody has read up to a letter; it never goes back."""
    tx.execute(_SEEN, {"staff": staff, "room": room, "letter_id": letter_id})


def of(tx: Tx, staff: str) -> dict[str, int]:
    """Read the last letter seen in each room."""
    return dict(map(tuple, tx.execute(_OF, {"staff": staff})))


def unread(tx: Tx, staff: str, rooms: Sequence[str], *, surface: str = "web") -> dict[str, int]:
    """Count unread letters by room, '' being one's own; rooms without any are missing."""
    room = func.coalesce(_L.c.to_room, "")
    last = select(_T.c.letter_id).where(_T.c.staff == staff, _T.c.room == room).correlate(_L).scalar_subquery()
    mine = or_(
        and_(_L.c.to_staff == staff, _L.c.to_room.is_(None)),
        and_(_L.c.to_room.in_(list(rooms)), or_(~_L.c.answer, _L.c.by_staff == staff)),
    )
    found = (
        select(room, func.count())
        .where(mine, _L.c.surface == surface, _L.c.state != "superseded", _L.c.id > func.coalesce(last, 0))
        .group_by(room)
    )
    return dict(map(tuple, tx.execute(found)))
