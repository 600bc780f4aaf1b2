"""What the loop looks at each time it turns, in one journey."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select

from storage import letters, timers
from storage.prepared import Prepared
from storage.store import Tx

_LOOK: Final = Prepared(
    select(timers.NEXT.scalar_subquery(), letters.NEXT.scalar_subquery(), letters.OF_STALE.exists())
)


class Due(NamedTuple):
    """When the next timer rings, when the next letter may leave, and whether a copy outside is not true any more."""

    timer: datetime | None
    letter: datetime | None
    stale: bool


def look(tx: Tx, now: datetime) -> Due:
    timer, letter, stale = tx.execute(_LOOK, {"now": now}).one()
    return Due(timer, letter, bool(stale))
