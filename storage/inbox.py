"""The inbox: every event from a platform once. A row is written done; one whose work failed is parked."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import bindparam, func, select, update

from storage import tables, texts
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_new

_T: Final = tables.inbox


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it came in."""

    platform: str
    event_id: str  #: the platform's own; the same id twice is the same event
    conversation: str
    kind: Literal["words", "press", "post", "link", "news", "odd"]
    received_at: datetime
    natural_key: str | None = None  #: what stays the same when a platform gives one event a second id
    speaker: str | None = None
    doc: dict[str, Any] = field(default_factory=dict)  #: parsed words, never raw text from outside
    text: int | None = None  #: id of sealed words from an inside surface


@dataclass(frozen=True, slots=True)
class Parked:
    """An event whose work failed."""

    id: int
    arrival: Arrival
    tries: int
    next_at: datetime | None
    error: str


_NAMES: Final = tuple(f.name for f in fields(Arrival))
_TOWN: Final = select(tables.municipality.c.version).scalar_subquery()
#: With the version of the town, which everybody asks for next: one round trip less.
_ARRIVE: Final = Prepared(insert_new(_T, _T.c.id, _TOWN))
_ROW: Final = ("id", *_NAMES, "state", "tries", "error")
_KEEP: Final = Prepared(
    insert_new(
        _T,
        given=select(*(bindparam(name, type_=_T.c[name].type).label(name) for name in _ROW)).where(
            bindparam("town", type_=tables.municipality.c.version.type) == _TOWN
        ),
    )
)
_PARK_AGAIN: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"))
    .values(tries=_T.c.tries + 1, next_at=bindparam("again"), error=bindparam("because"))
)
_PARKED: Final = (
    select(_T.c.id, *(_T.c[name] for name in _NAMES), _T.c.tries, _T.c.next_at, _T.c.error)
    .where(_T.c.state == tables.constant("parked"))
    .order_by(_T.c.id + 0)  # the few are sorted; in the order of the key SQLite would go through all events
)
_DUE: Final = Prepared(_PARKED.where(_T.c.next_at <= bindparam("now")))
_ONE: Final = Prepared(_PARKED.where(_T.c.id == bindparam("id")).with_for_update())
_DONE: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"), _T.c.state == tables.constant("parked"))
    .values(state="done", next_at=None, error="")
)
_PLACE: Final = Prepared(select(_T.c.platform, _T.c.conversation).where(_T.c.id == bindparam("id")))
_COUNT: Final = Prepared(select(func.count()).select_from(_T).where(_T.c.state == tables.constant("parked")))


_NEWS: Final = Prepared(
    select(_T.c.doc)
    .where(
        _T.c.platform == bindparam("of_platform"), _T.c.conversation == bindparam("of_conversation"),
        _T.c.kind == tables.constant("news"), _T.c.id != bindparam("but"),
    )
    .order_by(_T.c.id.desc())
    .limit(10)
)  # fmt: skip


class Arrived(NamedTuple):
    """An event's row."""

    id: int
    town: int | None  #: the version of the town at this moment; None: there is no town


class NotKept(Exception):
    """This event has been seen before, or the town is not the one that was in mind."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def arrive(tx: Tx, id: int, arrival: Arrival) -> Arrived | None:
    """Keep an event; None: it has been seen before."""
    row = tx.execute(_ARRIVE, _row(id, arrival)).first()
    return None if row is None else Arrived(*row)


def keep(tx: Tx, id: int, arrival: Arrival, town: int) -> None:
    """Keep an event that is surely new, in a town of this version, together with all that comes of it.

    Raises NotKept, by the commit at the latest, where one of both is not so: nothing is written then.
    """
    tx.put(_KEEP, [_row(id, arrival) | {"town": town}], missed=NotKept)


def park(tx: Tx, id: int, arrival: Arrival, error: str, next_at: datetime | None) -> bool:
    """Keep an event whose work failed and was rolled back, for another try at `next_at` or by hand; False: seen before."""
    failed = {"state": "parked", "tries": 1, "error": error, "next_at": next_at}
    return tx.execute(_ARRIVE, _row(id, arrival) | failed).first() is not None


def park_again(tx: Tx, id: int, error: str, next_at: datetime) -> None:
    """Let a parked event whose work failed once more wait longer."""
    tx.execute(_PARK_AGAIN, {"of_id": id, "again": next_at, "because": error})


def parked(tx: Tx, due: datetime | None = None) -> list[Parked]:
    """List parked events; with `due` only those to be tried by then."""
    rows = tx.execute(_PARKED) if due is None else tx.execute(_DUE, {"now": due})
    return [Parked(id_, Arrival(*fields_), tries, next_at, error) for id_, *fields_, tries, next_at, error in rows]


def parked_one(tx: Tx, id: int) -> Parked | None:
    """Read one parked event and lock it, to try it again."""
    row = tx.execute(_ONE, {"id": id}).first()
    if row is None:
        return None
    id_, *fields_, tries, next_at, error = row
    return Parked(id_, Arrival(*fields_), tries, next_at, error)


class SaidRow(NamedTuple):
    """What somebody said inside: typed words, or those of the button they pressed."""

    id: int
    words: str
    at: datetime


def said(tx: Tx, speaker: str, conversation: str, since: datetime | None, limit: int) -> list[SaidRow]:
    """List a person's own words in one conversation of the web chat, oldest first."""
    found = select(_T.c.id, _T.c.text, _T.c.doc, _T.c.received_at).where(
        _T.c.platform == "web", _T.c.speaker == speaker, _T.c.conversation == conversation
    )
    if since is not None:
        found = found.where(_T.c.received_at >= since)
    rows = tx.execute(found.order_by(_T.c.id.desc()).limit(limit)).all()
    opened = texts.get_several(tx, [row.text for row in rows if row.text is not None])
    words = ((row, opened.get(row.text) or row.doc.get("says", "")) for row in reversed(rows))
    return [SaidRow(row.id, text, row.received_at) for row, text in words if text]


def done(tx: Tx, id: int) -> bool:
    """Take an event out of the parking place; False when it is not there."""
    return tx.execute(_DONE, {"of_id": id}).rowcount == 1


def place(tx: Tx, id: int) -> tuple[str, str] | None:
    """Find on which platform and in which conversation an event was said."""
    row = tx.execute(_PLACE, {"id": id}).first()
    return None if row is None else (row[0], row[1])


def newest_news(tx: Tx, platform: str, conversation: str, but: int) -> str:
    """When the newest news of a conversation but this one happened, ISO 8601; empty: unknown. Rare, so without an index."""
    found = tx.execute(_NEWS, {"of_platform": platform, "of_conversation": conversation, "but": but})
    return max((doc.get("at", "") for (doc,) in found), default="")


def count_parked(tx: Tx) -> int:
    return int(tx.execute(_COUNT).scalar_one())


def _row(id: int, arrival: Arrival) -> dict[str, Any]:
    row = {name: getattr(arrival, name) for name in _NAMES}
    return {"id": id, **row, "state": "done", "tries": 0, "error": ""}
