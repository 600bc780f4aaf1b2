"""A handful of figures for whoever watches over the service: counted when asked, never stored."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, func, select

from storage import tables
from storage.store import Tx

_T: Final = tables.timers
_L: Final = tables.letters
_W: Final = tables.waits
_C: Final = tables.cases
_I: Final = tables.inbox
_LIVE: Final = (_T.c.fired_at.is_(None)) & (_T.c.cancelled_at.is_(None))


class Figures(NamedTuple):
    open_cases: dict[str, int]  #: by stage
    open_waits: dict[str, int]  #: by kind
    oldest_timer: datetime | None  #: due and not yet rung
    timers_due: int
    oldest_letter: datetime | None  #: may leave and has not
    letters_waiting: int
    letters: dict[tuple[str, str], int]  #: by (surface, state), those outside
    parked: int


_STAGES: Final = select(_C.c.stage, func.count()).where(_C.c.stage != "closed").group_by(_C.c.stage)
_WAITS: Final = select(_W.c.kind, func.count()).where(_W.c.closed_at.is_(None)).group_by(_W.c.kind)
_DUE: Final = select(func.min(_T.c.due_at), func.count()).where(_LIVE, _T.c.due_at <= bindparam("now"))
_READY: Final = select(func.min(_L.c.not_before), func.count()).where(_L.c.state == "pending", _L.c.not_before <= bindparam("now"))
_OUTCOMES: Final = (
    select(_L.c.surface, _L.c.state, func.count())
    .where(_L.c.surface.not_in(("web", "console")), _L.c.created_at >= bindparam("since"))
    .group_by(_L.c.surface, _L.c.state)
)
_PARKED: Final = select(func.count()).select_from(_I).where(_I.c.state == "parked")


def read(tx: Tx, now: datetime, since: datetime) -> Figures:
    """Count everything once; outcomes of letters since a moment."""
    oldest_timer, due = tx.execute(_DUE, {"now": now}).one()
    oldest_letter, waiting = tx.execute(_READY, {"now": now}).one()
    return Figures(
        dict(map(tuple, tx.execute(_STAGES))),
        dict(map(tuple, tx.execute(_WAITS))),
        oldest_timer,
        due,
        oldest_letter,
        waiting,
        {(surface, state): count for surface, state, count in tx.execute(_OUTCOMES, {"since": since})},
        int(tx.execute(_PARKED).scalar_one()),
    )
