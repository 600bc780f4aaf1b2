"""The register of breaches (漏えい等の記録): what got out, of whom, and what has been reported since. What happened is sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select, update

from storage import tables, texts
from storage.tx import Tx

_T: Final = tables.breaches

#: What can be noted later, each once.
STEPS: Final = ("reported_first_at", "reported_final_at", "told_at", "closed_at")


@dataclass(frozen=True, slots=True)
class Breach:
    """One entry; `what` is None when its words do not open any more."""

    id: int
    found_at: datetime
    by: str
    what: str | None
    numbers: tuple[str, ...]
    persons: int
    sensitive: bool
    malicious: bool
    reported_first_at: datetime | None = None
    reported_final_at: datetime | None = None
    told_at: datetime | None = None
    closed_at: datetime | None = None


def add(
    tx: Tx, *, found_at: datetime, by: str, what: str, numbers: Sequence[str], persons: int, sensitive: bool, malicious: bool,
    at: datetime,
) -> int:  # fmt: skip
    """Write one down and answer its id; `at`: when it is written, `found_at`: when somebody knew."""
    text, _ = texts.put(tx, None, what, by, at)
    row = {
        "found_at": found_at, "by": by, "what": text, "numbers": list(numbers), "persons": persons, "sensitive": sensitive,
        "malicious": malicious,
    }  # fmt: skip
    return int(tx.execute(insert(_T).values(row).returning(_T.c.id)).scalar_one())


def every(tx: Tx) -> list[Breach]:
    """List all of them, the newest first."""
    columns = [_T.c[name] for name in Breach.__dataclass_fields__]
    rows = tx.execute(select(*columns).order_by(_T.c.found_at.desc(), _T.c.id.desc())).all()
    words = texts.get_several(tx, [row.what for row in rows]) if rows else {}
    return [_breach(row._asdict(), words) for row in rows]


def note(tx: Tx, id_: int, step: str, at: datetime) -> bool:
    """Note that a step has been taken; False when it has been before, or there is no such entry."""
    column = _T.c[step]
    return tx.execute(update(_T).where(_T.c.id == id_, column.is_(None)).values({column: at})).rowcount == 1


def _breach(row: dict[str, Any], words: dict[int, str]) -> Breach:
    return Breach(**row | {"what": words.get(row["what"]), "numbers": tuple(row["numbers"])})
