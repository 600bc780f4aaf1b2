"""What is known about a household, one thing a row, each with the basis on which it may be known. The words are sealed texts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import insert, select

from storage import tables
from storage.tx import Tx

_T: Final = tables.items


class Item(NamedTuple):
    id: int
    household: int
    case_id: int | None
    person: int | None
    kind: str
    text: int
    basis: str  #: consent | art106_6 | law | art69 | life
    conference: int | None
    agencies: list[str] | None
    source: str
    by: str
    at: datetime


_COLUMNS: Final = tuple(_T.c[name] for name in Item._fields)


def add(
    tx: Tx, household: int, case: int | None, kind: str, text: int, basis: str, by: str, at: datetime, *,
    person: int | None = None, conference: int | None = None, agencies: Sequence[str] | None = None, source: str = "agency",
) -> int:  # fmt: skip
    """Keep one and answer its id; `text` is the id of sealed words of this household."""
    row = {
        "household": household, "case_id": case, "person": person, "kind": kind, "text": text, "basis": basis,
        "conference": conference, "agencies": None if agencies is None else list(agencies), "source": source, "by": by, "at": at,
    }  # fmt: skip
    return int(tx.execute(insert(_T).values(**row).returning(_T.c.id)).scalar_one())


def of_conference(tx: Tx, conference: int) -> list[Item]:
    """Read what was learned in a conference, the oldest first; who may read it the caller has asked."""
    found = select(*_COLUMNS).where(_T.c.conference == conference).order_by(_T.c.id)
    return [Item(*row) for row in tx.execute(found)]
