"""Closings: what leads have closed alone, for the coordinators' weekly list; and how far a notice of closing has reached."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from storage import tables
from storage.sight import known, moment, seer
from storage.tx import Tx
from workflow.sight import Eyes

_C: Final = tables.cases
_J: Final = tables.journal
_W: Final = tables.waits
_L: Final = tables.letters

_AT_ONCE: Final = (
    select(_C.c.id, _C.c.number, _J.c.at, _J.c.actor, _J.c.data)
    .join(_J, _J.c.case_id == _C.c.id)
    .where(
        _C.c.closed_at >= select(_W.c.opened_at).where(_W.c.id == bindparam("wait")).scalar_subquery(),
        _C.c.closed_at < bindparam("until", type_=tables.Moment()),
        _J.c.kind == "case.close_at_once",
    )
    .order_by(_J.c.id)
)
_NOTICE: Final = select(_L.c.to_staff, _L.c.state, _L.c.sent_at, _L.c.not_before).where(
    _L.c.case_id == bindparam("case"),
    _L.c.kind == "closing_proposed",
    _L.c.created_at >= bindparam("since", type_=tables.Moment()),
    _L.c.state != "superseded",
)


class AtOnce(NamedTuple):
    """A case that its lead has closed alone."""

    case: int
    number: str
    at: datetime
    by: str | None
    reason: str


class Reached(NamedTuple):
    """One letter of a notice: when it left, or may leave; `state` as a letter's."""

    staff: str | None
    state: str
    at: datetime


def at_once(tx: Tx, eyes: Eyes, wait: int, until: datetime) -> list[AtOnce]:
    """List what was closed at once while the weekly list's wait was open, the oldest first."""
    rows = tx.execute(_AT_ONCE.where(known(seer(eyes))), {"wait": wait, "until": until} | moment(eyes))
    return [AtOnce(id_, number, at, by, str(data.get("reason", ""))) for id_, number, at, by, data in rows]


def notice(tx: Tx, case: int, since: datetime) -> list[Reached]:
    """Read what became of a closing's notice on its way to the team; `since` is the moment of the proposal."""
    rows = tx.execute(_NOTICE, {"case": case, "since": since})
    return [Reached(staff, state, sent or not_before) for staff, state, sent, not_before in rows]
