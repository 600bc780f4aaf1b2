"""What the loop looks at each time it turns, in one journey."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import select

from storage import letters, timers
from storage.prepared import Prepared
from storage.tx import Tx


@cache
def _look(platforms: tuple[str, ...]) -> Prepared:
    each = [letters.next_to(name).scalar_subquery() for name in platforms]
    timer = (timers.NEXT.scalar_subquery(), timers.NEXT_AGAIN.scalar_subquery())
    return Prepared(select(*timer, letters.OF_STALE.exists(), letters.OF_LOST.exists(), *each))


class Due(NamedTuple):
    """When the next timer rings and each platform's next letter may leave, and whether something is wrong by now."""

    timer: datetime | None
    stale: bool  #: a copy outside is not true any more
    lost: bool  #: a letter was leased by somebody who never came back
    letters: Mapping[str, datetime]


def look(tx: Tx, now: datetime, platforms: tuple[str, ...]) -> Due:
    timer, again, stale, lost, *each = tx.execute(_look(platforms), {"now": now}).one()
    waiting = {name: at for name, at in zip(platforms, each, strict=True) if at}
    return Due(timers.sooner((timer, again)), bool(stale), bool(lost), waiting)
