"""The consents of persons, and why one is missing. A row changes by its withdrawal alone, so that what held when stays to be read."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select, update

from storage import tables
from storage.tx import Tx
from workflow.consent import Agreement, Missing

_C: Final = tables.consents
_M: Final = tables.consents_missing
#: What a value calls otherwise than its column.
_COLUMNS: Final = {"case": "case_id", "start": "from"}
_FIELDS: Final = tuple(f.name for f in fields(Agreement))


def give(tx: Tx, one: Agreement) -> int:
    """Keep a new consent, whatever its `id`; answer that."""
    row = {_COLUMNS.get(name, name): getattr(one, name) for name in _FIELDS if name != "id"}
    lists = {name: None if row[name] is None else list(row[name]) for name in ("scope", "agencies")}
    return int(tx.execute(insert(_C).returning(_C.c.id), row | lists).scalar_one())


def withdraw(tx: Tx, id: int, by: str, at: datetime) -> bool:
    """Withdraw a consent: whoever reads after the commit sees nothing of it. False: it was withdrawn before."""
    cut = update(_C).where(_C.c.id == id, _C.c.withdrawn_at.is_(None)).values(withdrawn_at=at, withdrawn_by=by)
    return bool(tx.execute(cut).rowcount)


def of_case(tx: Tx, case: int) -> list[Agreement]:
    """List all consents of a case, the oldest first, also those that no longer hold."""
    return [_made(row) for row in tx.execute(select(_C).where(_C.c.case_id == case).order_by(_C.c.id))]


def miss(tx: Tx, one: Missing) -> None:
    """Write down why somebody has not agreed."""
    row: dict[str, Any] = {_COLUMNS.get(name, name): value for name, value in one._asdict().items() if name != "id"}
    tx.execute(insert(_M), row)


def missing(tx: Tx, case: int) -> list[Missing]:
    rows: Iterable[Any] = tx.execute(select(_M).where(_M.c.case_id == case).order_by(_M.c.id))
    return [Missing(r.id, r.person, r.case_id, r.why, r.known, r.conference, r.by, r.at) for r in rows]


def _made(row: Any) -> Agreement:
    known = {name: row._mapping[_COLUMNS.get(name, name)] for name in _FIELDS}
    agencies = known["agencies"]
    return Agreement(
        **known | {"scope": tuple(known["scope"]), "agencies": None if agencies is None else tuple(agencies)}
    )
