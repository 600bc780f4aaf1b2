"""The journal: what happened, line by line, each sealed by the hash of the one before. Nothing here is ever changed.

`line_hash` covers exactly the object that `tsunagi journal --format jsonl` prints, less its `hash`, for all to check.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import Select, and_, bindparam, func, insert, select, update

from storage import tables
from storage.prepared import Prepared
from storage.tx import Record, Tx
from workflow.case import Case
from workflow.outcome import Act, Data, Entry

_T: Final = tables.journal
_C: Final = tables.cases
_M: Final = tables.municipality

_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
_Ends: TypeAlias = dict[int | None, tuple[str | None, int, str]]  #: case (None: the town) → number, seq, head


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it is kept."""

    case_id: int | None  #: None: about the town
    number: str | None
    seq: int
    at: datetime
    kind: str
    actor: str | None
    surface: str
    source: str | None
    dest: str | None
    data: Data
    prev: str
    hash: str
    id: int = 0  #: order among all lines; 0 before it is kept

    def shown(self) -> dict[str, object]:
        """The object that is exported: everything under the hash, and the hash."""
        return {**_hashed(self), "prev": self.prev, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Breach:
    """A place where the chain does not hold."""

    number: str | None
    seq: int
    what: str  #: hash | prev | seq | head
    case_id: int | None = None  #: None: the town


def line_hash(prev: str, line: Mapping[str, object]) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, UTF-8) of a line with its `prev`."""
    return hashlib.sha256(orjson.dumps({**line, "prev": prev}, option=_CANONICAL)).hexdigest()


def chain(case: Case, entries: Sequence[Entry], act: Act, at: datetime) -> list[Line]:
    """Make the lines that follow a case's last one; nothing is written."""
    return _chain(case.id, case.number, case.seq, case.head, entries, act.who, act.surface, at)


def write(tx: Tx, lines: Sequence[Line]) -> None:
    """Keep lines made by `chain`."""
    if lines:
        tx.put(_INSERT, [_row(line) for line in lines])
        tx.flag("journal")


def append(tx: Tx, case: Case, entries: Sequence[Entry], act: Act, at: datetime) -> tuple[int, str]:
    """Write entries behind a case's last line; answer its new (seq, head), which the case has to carry."""
    lines = chain(case, entries, act, at)
    write(tx, lines)
    return (lines[-1].seq, lines[-1].hash) if lines else (case.seq, case.head)


def append_town(tx: Tx, entry: Entry, who: str | None, surface: str, at: datetime) -> int:
    """Write what belongs to no case; the municipality's row keeps the order and the chain's end. Answers its place.

    `who`: the staff code of whoever did it; None: an operator at the command line.
    """
    seq, head = tx.execute(_TOWN_END_LOCKED).one()
    (line,) = _chain(None, None, seq, head, [entry], who, surface, at)
    write(tx, [line])
    tx.put(_TOWN_ENDS, [{"last": line.seq, "hash": line.hash}])
    return line.seq


def read(tx: Tx, case_id: int) -> list[Line]:
    """Read a case's lines, the oldest first."""
    return [_line(row) for row in tx.execute(_OF_CASE, {"case": case_id})]


def tail(tx: Tx, after_id: int, limit: int = 500) -> list[Line]:
    """Read what was written after a line, of all cases: what open pages follow."""
    return [_line(row) for row in tx.execute(_TAIL, {"after": after_id, "limit": limit})]


def newest(tx: Tx) -> int:
    """Find the id of the newest line, 0 in an empty journal."""
    return int(tx.execute(_NEWEST).scalar() or 0)


def last_actor(tx: Tx, case_id: int) -> str | None:
    """Find who caused the newest line of a case; None for the clock, and without lines."""
    found: str | None = tx.execute(_LAST_ACTOR, {"case": case_id}).scalar()
    return found


def verify(tx: Tx, only: Sequence[int] | None = None, *, town: bool = True) -> Iterator[Breach]:
    """Go through every chain and yield each place where it does not hold."""
    heads, lines = _HEADS, _LINES
    if only is not None:
        heads, lines = heads.where(_C.c.id.in_(only)), lines.where(_T.c.case_id.in_(only))
    yield from _broken(
        tx.execute(lines.where(_T.c.case_id.is_not(None)).order_by(_T.c.case_id, _T.c.seq)), _ends(tx, heads)
    )
    if town:
        end = tx.execute(_TOWN_END).first()
        ends: _Ends = {None: (None, end.seq, end.head)} if end else {}
        yield from _broken(tx.execute(_LINES.where(_T.c.case_id.is_(None)).order_by(_T.c.seq)), ends)


def verify_since(tx: Tx, only: Sequence[int], after: int) -> Iterator[Breach]:
    """The same for what these cases have got behind the line with this id, and the line before it."""
    newer = _T.alias()
    first = (
        select(newer.c.case_id, (func.min(newer.c.seq) - 1).label("seq"))
        .where(newer.c.case_id.in_(only), newer.c.id > after)
        .group_by(newer.c.case_id)
        .subquery()
    )
    starts: dict[int | None, int] = {case: seq for case, seq in tx.execute(select(first)) if seq > 0}
    lines = _LINES.join(first, and_(first.c.case_id == _T.c.case_id, _T.c.seq >= first.c.seq))
    ends = _ends(tx, _HEADS.where(_C.c.id.in_(select(first.c.case_id))))
    yield from _broken(tx.execute(lines.order_by(_T.c.case_id, _T.c.seq)), ends, starts)


def _ends(tx: Tx, heads: Select[Any]) -> _Ends:
    return {row.id: (row.number, row.seq, row.head) for row in tx.execute(heads)}


def _broken(
    rows: Iterable[Record], ends: _Ends, starts: Mapping[int | None, int] = MappingProxyType({})
) -> Iterator[Breach]:
    """`ends`: what the cases, or the municipality, remember of the end of their chain; `starts`: where one is looked at from."""
    for case, lines in groupby(map(_line, rows), key=lambda line: line.case_id):
        seq = starts.get(case, 1) - 1
        head = "" if not seq else None  # what came before the first line that is looked at is not asked
        for line in lines:
            if line.seq != seq + 1:
                yield Breach(line.number, line.seq, "seq", case)
            if head is not None and line.prev != head:
                yield Breach(line.number, line.seq, "prev", case)
            if line.hash != line_hash(line.prev, _hashed(line)):
                yield Breach(line.number, line.seq, "hash", case)
            seq, head = line.seq, line.hash
        number, *remembered = ends.pop(case, (None, 0, ""))
        if remembered != [seq, head]:
            yield Breach(number, seq, "head", case)
    for case, (number, length, _) in ends.items():
        if length:
            yield Breach(number, length, "head", case)


def changed(tx: Tx, after_id: int) -> list[int | None]:
    """List the cases that were written of after a line; None among them stands for the town."""
    return [case for (case,) in tx.execute(_CHANGED, {"after": after_id})]


def _chain(
    case_id: int | None, number: str | None, seq: int, head: str, entries: Sequence[Entry], who: str | None, surface: str,
    at: datetime,
) -> list[Line]:  # fmt: skip
    lines = []
    at = at.astimezone(UTC)
    for entry in entries:
        seq += 1
        draft = Line(
            case_id, number, seq, at, entry.kind, who, surface, entry.source, entry.dest, entry.data, head, ""
        )  # fmt: skip
        head = line_hash(head, _hashed(draft))
        lines.append(
            Line(
                case_id, number, seq, at, entry.kind, who, surface, entry.source, entry.dest, entry.data, draft.prev, head,
            )
        )  # fmt: skip
    return lines


def _hashed(line: Line) -> dict[str, object]:
    return {
        "seq": line.seq,
        "at": line.at.isoformat(),
        "case": line.number,
        "kind": line.kind,
        "actor": line.actor,
        "surface": line.surface,
        "from": line.source,
        "to": line.dest,
        "data": line.data,
    }


def _row(line: Line) -> dict[str, Any]:
    return {
        "case_id": line.case_id,
        "seq": line.seq,
        "at": line.at,
        "kind": line.kind,
        "actor": line.actor,
        "surface": line.surface,
        "source": line.source,
        "dest": line.dest,
        "data": line.data,
        "prev": line.prev,
        "hash": line.hash,
    }


def _line(row: Record) -> Line:
    return Line(*row)


_LINES: Final = select(
    _T.c.case_id, _C.c.number, _T.c.seq, _T.c.at, _T.c.kind, _T.c.actor, _T.c.surface, _T.c.source, _T.c.dest,
    _T.c.data, _T.c.prev, _T.c.hash, _T.c.id,
).select_from(_T.outerjoin(_C, _C.c.id == _T.c.case_id))  # fmt: skip
_INSERT: Final = Prepared(insert(_T))
_OF_CASE: Final = Prepared(_LINES.where(_T.c.case_id == bindparam("case")).order_by(_T.c.seq))
_TAIL: Final = Prepared(_LINES.where(_T.c.id > bindparam("after")).order_by(_T.c.id).limit(bindparam("limit")))
_LAST_ACTOR: Final = Prepared(
    select(_T.c.actor).where(_T.c.case_id == bindparam("case")).order_by(_T.c.seq.desc()).limit(1)
)
_CHANGED: Final = Prepared(select(_T.c.case_id).where(_T.c.id > bindparam("after")).distinct())
_NEWEST: Final = Prepared(select(_T.c.id).order_by(_T.c.id.desc()).limit(1))
_HEADS: Final = select(_C.c.id, _C.c.number, _C.c.seq, _C.c.head)
_TOWN_END: Final = Prepared(select(_M.c.seq, _M.c.head))
_TOWN_END_LOCKED: Final = Prepared(select(_M.c.seq, _M.c.head).with_for_update())
_TOWN_ENDS: Final = Prepared(update(_M).values(seq=bindparam("last"), head=bindparam("hash")))
