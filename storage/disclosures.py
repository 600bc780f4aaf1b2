"""開示請求: what a human has decided of each entry kept of a household: shown to the person, or withheld and why."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, delete, select

from storage import tables, texts
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_or_update

_D: Final = tables.disclosures
_T: Final = tables.texts

_OF: Final = Prepared(
    select(_D.c.entry, _D.c.shown, _D.c.reason, _D.c.by, _D.c.at).where(_D.c.household == bindparam("household"))
)
_PUT: Final = Prepared(insert_or_update(_D, ("household", "entry"), "shown", "reason", "by", "at"))
_GOES: Final = Prepared(delete(_D).where(_D.c.household == bindparam("household"), _D.c.entry == bindparam("entry")))
_TEXTS: Final = Prepared(
    select(_T.c.id, _T.c.by, _T.c.at).where(_T.c.household == bindparam("household")).order_by(_T.c.id)
)


class Decision(NamedTuple):
    shown: bool
    reason: str  #: of what is withheld: a code
    by: str
    at: datetime


class Kept(NamedTuple):
    """A text of a household, opened; None: it does not open."""

    id: int
    by: str  #: who wrote it down, which is not who said it
    at: datetime
    words: str | None


def of(tx: Tx, household: int) -> dict[str, Decision]:
    """What was decided, by entry."""
    return {entry: Decision(*rest) for entry, *rest in tx.execute(_OF, {"household": household})}


def decide(tx: Tx, household: int, decided: Iterable[tuple[str, bool | None, str]], by: str, at: datetime) -> None:
    """Keep decisions (entry, shown, reason); None takes one back."""
    for entry, shown, reason in decided:
        if shown is None:
            tx.execute(_GOES, {"household": household, "entry": entry})
        else:
            row = {"household": household, "entry": entry, "shown": shown, "reason": reason, "by": by, "at": at}
            tx.execute(_PUT, row)


def texts_of(tx: Tx, household: int) -> list[Kept]:
    """Every text of a household, the oldest first."""
    rows = tx.execute(_TEXTS, {"household": household}).all()
    words = texts.get_several(tx, [row.id for row in rows])
    return [Kept(id_, by, at, words.get(id_)) for id_, by, at in rows]
