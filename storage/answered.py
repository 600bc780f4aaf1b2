"""What became of a question that is over: who answered, how and when, and whether it was taken back since."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from storage import tables
from storage.tx import Tx

_W: Final = tables.waits
_J: Final = tables.journal
_L: Final = tables.letters

#: Journal lines that answer a check-in, and the one that takes an answer back.
CORRECTED: Final = "corrected"
_KINDS: Final = tuple(f"checkin.{said}" for said in ("calm", "worry", "seen", "missed", "cannot", CORRECTED))

_LINES: Final = (
    select(_J.c.kind, _J.c.actor, _J.c.at, _J.c.data, _W.c.closed_at)
    .join(_W, _W.c.case_id == _J.c.case_id)
    .where(_W.c.id == bindparam("wait"), _J.c.at >= _W.c.closed_at, _J.c.kind.in_(_KINDS))
    .order_by(_J.c.seq)
    .limit(50)
)
_CALL: Final = (
    select(_L.c.by_staff, _W.c.closed_at)
    .select_from(_W)
    .outerjoin(_L, (_L.c.kind == "reached") & (_L.c.case_id.is_(None)) & (_L.c.created_at == _W.c.closed_at))
    .where(_W.c.id == bindparam("wait"), _W.c.case_id.is_(None), _W.c.closed_at.is_not(None))
    .limit(1)
)


class Given(NamedTuple):
    """An answer that was given."""

    said: str  #: calm worry seen missed cannot reached; corrected when it was taken back
    by: str | None
    at: datetime


def checkin(tx: Tx, wait: int, handoff: int) -> Given | None:
    """Find what ended a check-in's wait (`handoff` is the handoff's number within its case); None when nobody answered it."""
    lines = [line for line in tx.execute(_LINES, {"wait": wait}) if line.data.get("handoff") == handoff]
    if not lines or lines[0].at != lines[0].closed_at:
        return None
    taken_back = len(lines) > 1 and lines[1].kind.endswith(CORRECTED)
    line = lines[1] if taken_back else lines[0]
    return Given(line.kind.partition(".")[2], line.actor, line.at)


def call(tx: Tx, wait: int) -> Given | None:
    """Find who ended a call that belongs to no case (緊急, 相談, 電話); None while it is open."""
    row = tx.execute(_CALL, {"wait": wait}).first()
    return Given("reached", row.by_staff, row.closed_at) if row else None
