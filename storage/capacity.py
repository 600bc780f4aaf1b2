"""打診: an anonymous, non-binding question about room, and its newest answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx

_T: Final = tables.capacity_asks


class CapacityAsk(NamedTuple):
    id: int
    case_id: int | None
    duty: str
    district: str | None
    urgency: str
    to_agency: str
    asked_at: datetime
    asked_by: str
    answer: str | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None


_COLUMNS: Final = tuple(_T.c[name] for name in CapacityAsk._fields)
_ASK: Final = Prepared(insert(_T))
_GET: Final = Prepared(select(*_COLUMNS).where(_T.c.id == bindparam("id")))
_ANSWER: Final = Prepared(update(_T).where(_T.c.id == bindparam("of_id"), _T.c.answer.is_(None)))
_OF_CASE: Final = Prepared(select(*_COLUMNS).where(_T.c.case_id == bindparam("case")).order_by(_T.c.id))
_OPEN: Final = select(*_COLUMNS).where(_T.c.answer.is_(None)).order_by(_T.c.id)
_RANKED: Final = (
    select(
        *_COLUMNS,
        func.row_number()
        .over(partition_by=(_T.c.duty, _T.c.to_agency), order_by=(_T.c.answered_at.desc(), _T.c.id.desc()))
        .label("place"),
    )
    .where(_T.c.answer.is_not(None))
    .subquery()
)
_NEWEST: Final = Prepared(select(*(_RANKED.c[name] for name in CapacityAsk._fields)).where(_RANKED.c.place == 1))


def ask(tx: Tx, asks: Sequence[CapacityAsk]) -> None:
    """Keep questions, one an agency."""
    if asks:
        tx.execute(_ASK, [one._asdict() for one in asks])


def get(tx: Tx, id: int) -> CapacityAsk | None:
    row = tx.execute(_GET, {"id": id}).first()
    return CapacityAsk(*row) if row else None


def answer(tx: Tx, id: int, answer: str, by: str, at: datetime) -> bool:
    """Keep an answer; False when there is one already."""
    changes: dict[str, Any] = {"answer": answer, "answered_at": at, "answered_by": by}
    return tx.execute(_ANSWER, {"of_id": id, **changes}).rowcount == 1


def of_case(tx: Tx, case_id: int) -> list[CapacityAsk]:
    return [CapacityAsk(*row) for row in tx.execute(_OF_CASE, {"case": case_id})]


def unanswered(tx: Tx, agencies: Sequence[str]) -> list[CapacityAsk]:
    """List open questions to agencies, the oldest first."""
    return [CapacityAsk(*row) for row in tx.execute(_OPEN.where(_T.c.to_agency.in_(list(agencies))))]


def newest(tx: Tx) -> dict[tuple[str, str], CapacityAsk]:
    """Read the newest answer for each (duty, agency)."""
    return {(row.duty, row.to_agency): CapacityAsk(*row) for row in tx.execute(_NEWEST)}
