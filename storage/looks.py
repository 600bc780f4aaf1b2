"""Looks: who was shown what of which cases. A chain for each of the town's days, its end in look_days; nothing here is ever changed.

Its hash is the journal's (`journal.line_hash`), over what `_hashed` names; each day begins anew at "".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Select, Text, bindparam, exists, func, insert, select, type_coerce, update

from storage import tables
from storage.journal import line_hash
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_new

_T: Final = tables.looks
_D: Final = tables.look_days
_J: Final = tables.journal
_C: Final = tables.cases
_L: Final = tables.letters

#: What somebody did: the first three and override stand here; the journal has who assigned and who wrote down a consent, the
#: letters what was sent. `seen` brings them together.
Kind: TypeAlias = Literal["view", "search", "export", "send", "assign", "consent", "override"]
#: What the journal has of these kinds, and of which.
JOURNALLED: Final[dict[str, Kind]] = {
    "handoff.assigned": "assign", "handoff.held_by_head": "assign", "handoff.taken_over": "assign", "case.lead": "assign",
    "case.interim": "assign", "case.consent": "consent", "case.basis": "consent", "case.abuse_suspected": "override",
}  # fmt: skip


class SlowerReader(Exception):
    """Somebody else's look came into the day's chain first: begin again."""


@dataclass(frozen=True, slots=True)
class Look:
    """One request, or one answer in a chat, that showed something of cases."""

    at: datetime
    staff: str | None  #: None: an operator at the command line
    kind: Kind
    page: str  #: a route ("/cases/{number}", nothing of the query), or a surface and its word ("slack:show")
    numbers: tuple[str, ...]
    why: str = ""  #: a code


class Broken(NamedTuple):
    """A place where a day's chain does not hold."""

    day: str
    seq: int
    what: str  #: hash | prev | seq | head | count | anchor


class End(NamedTuple):
    """How long a day's chain is, and the hash of its last look: all that is needed to see later that it is still whole."""

    day: str
    seq: int
    head: str


# -- writing


def write(tx: Tx, day: date, found: Sequence[Look], *, lock: bool = False) -> None:
    """Put looks behind the day's last one: two journeys to the database, and one statement that writes.

    Raises SlowerReader, by the commit at the latest, when somebody else was first; with `lock` it waits for its turn instead.
    """
    of_day = day.isoformat()
    end = tx.execute(_END_LOCKED if lock else _END, {"of_day": of_day}).first()
    if end is None:
        tx.execute(_BEGIN, {"day": of_day, "seq": 0, "head": ""})
        end = tx.execute(_END_LOCKED, {"of_day": of_day}).one()
    before, head = end
    rows = []
    for seq, look in enumerate(found, start=before + 1):
        prev, head = head, line_hash(head, _hashed(of_day, seq, look))
        rows.append(_row(of_day, seq, look, prev, head))
    moved = {"of_day": of_day, "of_seq": before, "last": before + len(rows), "hash": head}
    tx.put(_MOVE, [moved], missed=SlowerReader)
    tx.put(_INSERT, rows)


def _hashed(day: str, seq: int, look: Look) -> dict[str, object]:
    return {
        "day": day,
        "seq": seq,
        "at": look.at.astimezone(UTC).isoformat(),
        "staff": look.staff,
        "kind": look.kind,
        "page": look.page,
        "numbers": list(look.numbers),
        "why": look.why,
    }


def _row(day: str, seq: int, look: Look, prev: str, hash_: str) -> dict[str, Any]:
    return {
        "day": day, "seq": seq, "at": look.at, "staff": look.staff, "kind": look.kind, "page": look.page,
        "numbers": list(look.numbers), "why": look.why, "prev": prev, "hash": hash_,
    }  # fmt: skip


# -- whether it holds


def days(tx: Tx, newest: int | None = None) -> list[End]:
    """List the ends of the days' chains, the oldest first; `newest`: of so many days."""
    found = select(_D.c.day, _D.c.seq, _D.c.head).order_by(_D.c.day.desc())
    rows = tx.execute(found if newest is None else found.limit(newest))
    return [End(*row) for row in rows][::-1]


def verify(tx: Tx) -> Iterator[Broken]:
    """Go through every chain, and yield each place where it does not hold."""
    for end in days(tx):
        yield from _through(tx, end, 0)
    lost = select(_T.c.day).where(~exists().where(_D.c.day == _T.c.day)).distinct()
    for day in tx.execute(lost).scalars():
        yield Broken(day, 0, "head")


def verify_day(tx: Tx, day: str) -> list[Broken]:
    """The same for one day; of a day without looks nothing."""
    end = tx.execute(_END, {"of_day": day}).first()
    return [] if end is None else list(_through(tx, End(day, *end), 0))


def verify_lately(tx: Tx, newest: int, last: int) -> list[Broken]:
    """The same for the `last` looks of each of the `newest` days; of what lies before them that none is missing."""
    found = []
    for end in days(tx, newest):
        found += list(_through(tx, end, max(0, end.seq - last)))
        if int(tx.execute(_COUNT, {"of_day": end.day}).scalar_one()) != end.seq:
            found.append(Broken(end.day, end.seq, "count"))
    return found


def differing(tx: Tx, anchors: Sequence[End]) -> list[Broken]:
    """Days of which something else was written down outside the database; more may have come behind it."""
    found = []
    for one in anchors:
        kept = tx.execute(_HASH, {"of_day": one.day, "of_seq": one.seq}).scalar()
        if kept != one.head:
            found.append(Broken(one.day, one.seq, "anchor"))
    return found


def _through(tx: Tx, end: End, start: int) -> Iterator[Broken]:
    """`start`: the looks before it are not asked for; what came before the first that is looked at is not asked either."""
    seq, head = start, "" if not start else None
    for row in tx.execute(_OF_DAY.where(_T.c.day == end.day, _T.c.seq > start)):
        kept_seq, prev, hash_, at, staff, kind, page, numbers, why = row
        look = Look(at, staff, kind, page, tuple(numbers), why)
        if kept_seq != seq + 1:
            yield Broken(end.day, kept_seq, "seq")
        if head is not None and prev != head:
            yield Broken(end.day, kept_seq, "prev")
        if hash_ != line_hash(prev, _hashed(end.day, kept_seq, look)):
            yield Broken(end.day, kept_seq, "hash")
        seq, head = kept_seq, hash_
    if (seq, head) != (end.seq, end.head):
        yield Broken(end.day, seq, "head")


# -- anchors


def to_anchor(tx: Tx, before: date) -> list[End]:
    """List days before one whose end is not written down outside the database, or was before more came behind it."""
    found = select(_D.c.day, _D.c.seq, _D.c.head).where(_D.c.day < before.isoformat(), _D.c.anchored < _D.c.seq)
    return [End(*row) for row in tx.execute(found.order_by(_D.c.day))]


def anchored(tx: Tx, end: End, at: datetime) -> bool:
    """Note that a day's end is written down; False when another process has done so."""
    row = {"of_day": end.day, "to": end.seq, "when": at}
    return tx.execute(_ANCHORED, row).rowcount == 1


# -- who saw what


@dataclass(frozen=True, slots=True)
class Asked:
    """Of what case, or of whom, and on which days (both are meant)."""

    number: str | None
    staff: str | None
    first: date
    last: date
    since: datetime  #: where the first day begins
    until: datetime  #: where the last one ends


class Seen(NamedTuple):
    """One line of the answer, from the looks, the journal or the letters."""

    at: datetime
    staff: str | None  #: who did it; of a letter to whom it went
    kind: str
    where: str  #: a look's page, a line's kind, a letter's surface
    numbers: tuple[str, ...]  #: where a case was asked for, it alone: others are not this question's
    source: str  #: look | journal | letter
    room: str | None = None  #: the agency whose room a letter went to
    more: int = 0  #: other cases that were shown with the one asked for


def seen(tx: Tx, asked: Asked, most: int) -> list[Seen]:
    """List who saw or did what, the newest first. A case's looks are found by going through those of the days asked for."""
    rows = [*_looks(tx, asked, most), *_lines(tx, asked, most), *_letters(tx, asked, most)]
    return sorted(rows, key=lambda one: one.at, reverse=True)[:most]


def _looks(tx: Tx, asked: Asked, most: int) -> Iterator[Seen]:
    found = select(_T.c.at, _T.c.staff, _T.c.kind, _T.c.page, _T.c.numbers)
    found = found.where(_T.c.day >= asked.first.isoformat(), _T.c.day <= asked.last.isoformat())
    if asked.number:
        found = found.where(type_coerce(_T.c.numbers, Text).like(f'%"{asked.number}"%'))
    if asked.staff:
        found = found.where(_T.c.staff == asked.staff)
    for at, staff, kind, page, numbers in tx.execute(found.order_by(_T.c.day.desc(), _T.c.seq.desc()).limit(most)):
        if asked.number:
            yield Seen(at, staff, kind, page, (asked.number,), "look", more=len(numbers) - 1)
        else:
            yield Seen(at, staff, kind, page, tuple(numbers), "look")


def _lines(tx: Tx, asked: Asked, most: int) -> Iterator[Seen]:
    found = select(_J.c.at, _J.c.actor, _J.c.kind, _C.c.number).join(_C, _C.c.id == _J.c.case_id)
    found = found.where(_J.c.kind.in_(JOURNALLED), _J.c.at >= asked.since, _J.c.at < asked.until)
    found = _about(found, asked, _J.c.actor)
    for at, staff, kind, number in tx.execute(found.order_by(_J.c.at.desc()).limit(most)):
        yield Seen(at, staff, JOURNALLED[kind], kind, (number,), "journal")


def _letters(tx: Tx, asked: Asked, most: int) -> Iterator[Seen]:
    """What left the house, while it is kept (`[retention]`)."""
    found = select(_L.c.sent_at, _L.c.to_staff, _L.c.surface, _C.c.number, _L.c.to_room)
    found = found.join(_C, _C.c.id == _L.c.case_id).where(
        _L.c.address.is_not(None), _L.c.state.in_(("sent", "unknown")), _L.c.sent_at >= asked.since, _L.c.sent_at < asked.until
    )  # fmt: skip
    found = _about(found, asked, _L.c.to_staff)
    for at, staff, surface, number, room in tx.execute(found.order_by(_L.c.sent_at.desc()).limit(most)):
        yield Seen(at, staff, "send", surface, (number,), "letter", room)


def _about(found: Select[Any], asked: Asked, whose: Any) -> Select[Any]:
    if asked.number:
        found = found.where(_C.c.number == asked.number)
    return found.where(whose == asked.staff) if asked.staff else found


_END: Final = Prepared(select(_D.c.seq, _D.c.head).where(_D.c.day == bindparam("of_day")))
_END_LOCKED: Final = Prepared(select(_D.c.seq, _D.c.head).where(_D.c.day == bindparam("of_day")).with_for_update())
_BEGIN: Final = Prepared(insert_new(_D))
_MOVE: Final = Prepared(
    update(_D)
    .where(_D.c.day == bindparam("of_day"), _D.c.seq == bindparam("of_seq"))
    .values(seq=bindparam("last"), head=bindparam("hash")),
    keys=("of_day",),
)
_INSERT: Final = Prepared(insert(_T))
_COUNT: Final = Prepared(select(func.count()).select_from(_T).where(_T.c.day == bindparam("of_day")))
_HASH: Final = Prepared(select(_T.c.hash).where(_T.c.day == bindparam("of_day"), _T.c.seq == bindparam("of_seq")))
_OF_DAY: Final = select(
    _T.c.seq, _T.c.prev, _T.c.hash, _T.c.at, _T.c.staff, _T.c.kind, _T.c.page, _T.c.numbers, _T.c.why
).order_by(_T.c.seq)  # fmt: skip
_ANCHORED: Final = Prepared(
    update(_D)
    .where(_D.c.day == bindparam("of_day"), _D.c.anchored < bindparam("to"))
    .values(anchored=bindparam("to"), anchored_at=bindparam("when", type_=tables.Moment()))
)
