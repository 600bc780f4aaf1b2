"""保存と消去: whose period is over, what is proposed, what was erased and by whom (the certificates), and what is held back (保全).

`destroy` is the one place that takes a household's story away. Whoever keeps something of a household in a table of their own adds
it there; what lies under the household's key is gone with the key.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import case as sql_case
from sqlalchemy import delete, exists, func, insert, select, update

from storage import tables, texts
from storage.prepared import Prepared
from storage.tx import Tx

_E: Final = tables.erasures
_O: Final = tables.holds
_H: Final = tables.households
_C: Final = tables.cases
_T: Final = tables.texts
_W: Final = tables.waits
_L: Final = tables.letters
_M: Final = tables.marks
_D: Final = tables.disclosures
_TIMERS: Final = tables.timers

LIVE: Final = _E.c.stopped_at.is_(None)
STANDS: Final = _O.c.lifted_at.is_(None)


class Due(NamedTuple):
    """A household whose period is over."""

    household: int
    closed_at: datetime  #: the last of its cases


@dataclass(frozen=True, slots=True)
class Erasure:
    """One way to an erasure, or its certificate once it is done."""

    id: int
    household: int
    numbers: list[str]
    closed_at: datetime
    found_at: datetime
    proposed_at: datetime | None
    proposed_by: str | None
    done_at: datetime | None
    confirmed_by: str | None
    gone: dict[str, int] | None
    digest: str | None
    line: int | None  #: in the town's journal

    @property
    def done(self) -> bool:
        return self.done_at is not None


class Hold(NamedTuple):
    id: int
    household: int
    reason: str
    text: int | None
    by: str
    at: datetime


class Gone(NamedTuple):
    """What was destroyed: how much of what, and a digest of the seals that nobody opens any more."""

    counts: dict[str, int]
    digest: str


_ROW: Final = tuple(_E.c[f.name] for f in fields(Erasure))
_ROWS: Final = select(*_ROW).where(LIVE)
_HOLDS: Final = select(_O.c.id, _O.c.household, _O.c.reason, _O.c.text, _O.c.by, _O.c.at).where(STANDS)
_INSERT: Final = Prepared(insert(_E))
_INSERT_HOLD: Final = Prepared(insert(_O))


# Whose period is over


def due(tx: Tx, before: datetime, limit: int) -> list[Due]:
    """Households all of whose cases were closed before a moment, that nobody holds back and that are on no list yet."""
    last = func.max(_C.c.closed_at)
    open_ = func.sum(sql_case((_C.c.stage == "closed", 0), else_=1))
    found = (
        select(_C.c.household, last)
        .join(_H, _H.c.id == _C.c.household)
        .where(
            _H.c.key.is_not(None),
            ~exists().where(_O.c.household == _C.c.household, STANDS),
            ~exists().where(_E.c.household == _C.c.household, LIVE),
        )
        .group_by(_C.c.household)
        .having(open_ == 0, last < before)
        .order_by(last, _C.c.household)
        .limit(limit)
    )
    return [Due(*row) for row in tx.execute(found)]


def numbers(tx: Tx, household: int) -> list[tuple[int, str]]:
    """The (id, number) of a household's cases, ascending: the order in which they are locked."""
    return [
        (i, n) for i, n in tx.execute(select(_C.c.id, _C.c.number).where(_C.c.household == household).order_by(_C.c.id))
    ]


class Episode(NamedTuple):
    """One of a household's cases, as its certificate names it."""

    id: int
    number: str
    opened_at: datetime
    stage: str


def episodes(tx: Tx, household: int) -> list[Episode]:
    """A household's cases, restricted ones too: who erases has to know what is erased."""
    named = select(_C.c.id, _C.c.number, _C.c.opened_at, _C.c.stage).where(_C.c.household == household)
    return [Episode(*row) for row in tx.execute(named.order_by(_C.c.id))]


def add(tx: Tx, id: int, found: Due, at: datetime) -> None:
    row = dict.fromkeys((f.name for f in fields(Erasure)), None) | {"stopped_at": None, "stopped": None}
    of = [number for _, number in numbers(tx, found.household)]
    tx.execute(_INSERT, row | {
        "id": id, "household": found.household, "numbers": of, "closed_at": found.closed_at, "found_at": at,
    })  # fmt: skip


def all_(tx: Tx) -> list[Erasure]:
    """Every candidate, proposal and certificate, the newest first."""
    return [Erasure(*row) for row in tx.execute(_ROWS.order_by(_E.c.id.desc()))]


def get(tx: Tx, id: int) -> Erasure | None:
    row = tx.execute(_ROWS.where(_E.c.id == id)).first()
    return Erasure(*row) if row else None


def of_household(tx: Tx, household: int) -> Erasure | None:
    row = tx.execute(_ROWS.where(_E.c.household == household)).first()
    return Erasure(*row) if row else None


def waiting(tx: Tx) -> list[Erasure]:
    """Those that are not done."""
    return [Erasure(*row) for row in tx.execute(_ROWS.where(_E.c.done_at.is_(None)).order_by(_E.c.id))]


# The way to it: each answers whether it was so


def propose(tx: Tx, id: int, by: str, at: datetime) -> bool:
    return _moved(tx, id, _E.c.proposed_at.is_(None), proposed_by=by, proposed_at=at)


def take_back(tx: Tx, id: int) -> bool:
    """It is a candidate again."""
    return _moved(tx, id, _E.c.proposed_at.is_not(None), proposed_by=None, proposed_at=None)


def stop(tx: Tx, household: int, why: str, at: datetime) -> bool:
    """End what is under way, because of a hold or because a case is open again."""
    this = update(_E).where(_E.c.household == household, LIVE, _E.c.done_at.is_(None))
    return tx.execute(this.values(stopped_at=at, stopped=why)).rowcount == 1


def done(tx: Tx, id: int, by: str, at: datetime, gone: Gone, line: int) -> bool:
    return _moved(
        tx,
        id,
        _E.c.proposed_by.is_not(None),
        confirmed_by=by,
        done_at=at,
        gone=gone.counts,
        digest=gone.digest,
        line=line,
    )


def _moved(tx: Tx, id: int, only: Any, **values: Any) -> bool:
    return (
        tx.execute(update(_E).where(_E.c.id == id, LIVE, _E.c.done_at.is_(None), only).values(**values)).rowcount == 1
    )


# Destroying


def counts(tx: Tx, household: int, cases: Sequence[int]) -> dict[str, int]:
    """How much there is to destroy."""

    def many(table: Any, *where: Any) -> int:
        return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    return {
        "keys": many(_H, _H.c.id == household, _H.c.key.is_not(None)), "texts": many(_T, _T.c.household == household),
        "letters": many(_L, _L.c.case_id.in_(cases)), "waits": many(_W, _W.c.case_id.in_(cases)),
        "marks": many(_M, _M.c.case_id.in_(cases)), "disclosures": many(_D, _D.c.household == household),
    }  # fmt: skip


def destroy(tx: Tx, household: int, cases: Sequence[int]) -> Gone:
    """Destroy the key, every sealed byte under it and what points to the household's days; of a text its digest stays.

    Closed cases alone: what of them is counted stays (`only_figures`), the journal stays whole.
    """
    found = counts(tx, household, cases)
    seals = tx.execute(select(_T.c.id, _T.c.digest).where(_T.c.household == household).order_by(_T.c.id)).all()
    digest = hashlib.sha256("\n".join(f"{id_} {one}" for id_, one in seals).encode()).hexdigest()
    texts.forget(tx, household)
    tx.execute(update(_T).where(_T.c.household == household).values(sealed=b""))
    tx.execute(delete(_TIMERS).where(_TIMERS.c.wait_id.in_(select(_W.c.id).where(_W.c.case_id.in_(cases)))))
    for table in (_W, _L, _M):
        tx.execute(delete(table).where(table.c.case_id.in_(cases)))
    tx.execute(delete(_D).where(_D.c.household == household))
    return Gone(found, digest)


# Holding back


def holds(tx: Tx) -> list[Hold]:
    """Those that stand, the newest first."""
    return [Hold(*row) for row in tx.execute(_HOLDS.order_by(_O.c.id.desc()))]


def held(tx: Tx, household: int) -> bool:
    return tx.execute(_HOLDS.where(_O.c.household == household)).first() is not None


def hold(tx: Tx, one: Hold) -> None:
    tx.execute(_INSERT_HOLD, one._asdict() | {"lifted_at": None, "lifted_by": None})


def lift(tx: Tx, id: int, by: str, at: datetime) -> Hold | None:
    """Answer the one that was lifted; None: it was lifted already."""
    row = tx.execute(_HOLDS.where(_O.c.id == id)).first()
    if (
        row is None
        or not tx.execute(update(_O).where(_O.c.id == id, STANDS).values(lifted_at=at, lifted_by=by)).rowcount
    ):
        return None
    return Hold(*row)
