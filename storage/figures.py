"""What is counted for whoever runs a town, and the mark by which open pages notice that something has happened."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, func, select

from storage import inbox, letters, tables, timers
from storage.prepared import Prepared
from storage.tx import Tx

#: What a person has given up stays on record as failed, with this before their code.
GIVEN_UP: Final = "given up: "
LATELY: Final = timedelta(hours=1)

_L: Final = tables.letters
_T: Final = tables.timers
_W: Final = tables.waits
_C: Final = tables.cases

#: Ids are not committed in their order: one that comes late still changes the last few.
_TAILS: Final = tuple(
    select(table.c.id).order_by(table.c.id.desc()).limit(64)
    for table in (tables.journal, tables.letters, tables.room_posts)
)
_TOWN: Final = Prepared(select(tables.municipality.c.version))
_CLOCK: Final = Prepared(select(tables.demo_clock.c.town_at))

_WAITS: Final = Prepared(select(_W.c.kind, func.count()).where(_W.c.closed_at.is_(None)).group_by(_W.c.kind))
_CASES: Final = Prepared(
    select(_C.c.stage, func.count()).where(_C.c.stage != tables.constant("closed")).group_by(_C.c.stage)
)
_RANG: Final = Prepared(select(_T.c.due_at, _T.c.fired_at).where(_T.c.fired_at >= bindparam("since")).limit(5000))
_NEWEST: Final = Prepared(
    select(_L.c.surface, _L.c.state, _L.c.not_before, _L.c.sent_at, _L.c.answer).order_by(_L.c.id.desc()).limit(5000)
)
_STUCK: Final = Prepared(
    select(_L.c.state, func.count())
    .where(_L.c.state.in_((tables.constant("unknown"), tables.constant("failed"))), _L.c.why.not_like(f"{GIVEN_UP}%"))
    .group_by(_L.c.state)
)
_READ_ONLY: Final = Prepared(select(func.current_setting(tables.constant("transaction_read_only"))))
_THERE: Final = Prepared(select(func.clock_timestamp()))


class Result(NamedTuple):
    """How the newest letter of a platform fared."""

    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of one moment; lists of seconds are of the hour before it."""

    waits: dict[str, int]  #: open, by kind
    cases: dict[str, int]  #: open, by stage
    timers: int
    next_due: datetime | None
    lateness: list[float]  #: from a timer's due instant to its ringing
    dwell: list[float]  #: from the moment a letter might leave to its leaving
    outcomes: dict[tuple[str, str], int]  #: (platform, state)
    pending: int
    oldest_pending: datetime | None
    stuck: dict[str, int]
    parked: int


def mark(tx: Tx) -> str:
    """A word that is another one as soon as anybody has written anything that pages show."""
    seen: list[Any] = [tuple(tx.execute(tail).scalars()) for tail in _TAILS]
    seen += [tx.execute(_TOWN).scalar(), tx.execute(_CLOCK).scalar()]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def takes_changes(tx: Tx) -> bool:
    """Say whether the database takes changes; inside `Store.transact`, where SQLite has asked for its lock already."""
    return tx.dialect == "sqlite" or tx.execute(_READ_ONLY).scalar() == "off"


def database_clock(tx: Tx) -> datetime | None:
    """What time the database has; None for SQLite, which has our own."""
    found: datetime | None = None if tx.dialect == "sqlite" else tx.execute(_THERE).scalar()
    return found


def figures(tx: Tx, now: datetime) -> Figures:
    """Count everything that /metrics shows."""
    since = now - LATELY
    newest = tx.execute(_NEWEST).all()
    sent = [row for row in newest if row.sent_at is not None and row.sent_at >= since]
    # What failed never left: the moment from which it might leave stands for it.
    failed = [row for row in newest if row.state == "failed" and row.not_before >= since]
    outcomes = Counter((row.surface, row.state) for row in (*sent, *failed))
    pending, oldest = letters.waiting(tx)
    return Figures(
        waits=dict(map(tuple, tx.execute(_WAITS))), cases=dict(map(tuple, tx.execute(_CASES))), timers=timers.live(tx),
        next_due=timers.next_due(tx),
        lateness=[(fired - due).total_seconds() for due, fired in tx.execute(_RANG, {"since": since})],
        dwell=[max(0.0, (row.sent_at - row.not_before).total_seconds()) for row in sent if not row.answer],
        outcomes=outcomes, pending=pending, oldest_pending=oldest, stuck=stuck(tx), parked=inbox.count_parked(tx),
    )  # fmt: skip


def stuck(tx: Tx) -> dict[str, int]:
    """Count the letters that failed or whose fate is unknown, by state, less those somebody has let be."""
    return dict(map(tuple, tx.execute(_STUCK)))


def platforms(tx: Tx) -> dict[str, Result]:
    """The last result of each platform among the newest letters."""
    found: dict[str, Result] = {}
    for row in tx.execute(_NEWEST):
        if row.state in ("sent", "unknown", "failed"):
            found.setdefault(row.surface, Result(row.state, row.sent_at))
    return found
