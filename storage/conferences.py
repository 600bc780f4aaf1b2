"""The two conferences: who was called and has answered or pledged, their cases, what was decided.

Whoever changes one locks the rows of its cases first, as for everything of a case.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, delete, func, insert, or_, select, update

from storage import tables
from storage.tx import Tx
from workflow.conference import Conference, Member

_T: Final = tables.conferences
_M: Final = tables.conference_members
_C: Final = tables.conference_cases
_D: Final = tables.conference_decisions
_J: Final = tables.journal
_OWN: Final = ("id", "kind", "basis", "convened_by", "state", "made_at", "at", "place")
_COLUMNS: Final = tuple(_T.c[name] for name in _OWN)


class Decision(NamedTuple):
    """Something decided about one case. `doc` holds codes only; `text` is a sealed one."""

    id: int
    conference: int
    case_id: int
    kind: str
    doc: dict[str, Any]
    text: int | None
    made_at: datetime
    by: str


class Record(NamedTuple):
    """What is kept per 相談者 beside items and decisions."""

    case_id: int
    note: int | None
    direction: str
    next_at: datetime | None


def insert_one(tx: Tx, one: Conference) -> None:
    """Keep a new one with its cases and members."""
    tx.execute(insert(_T).values({name: getattr(one, name) for name in _OWN}))
    tx.execute(insert(_C), [{"conference": one.id, "case_id": case} for case in one.cases])
    tx.execute(insert(_M), [_member(one.id, member) for member in one.members])


def save(tx: Tx, before: Conference, after: Conference) -> None:
    """Keep what became of it; only the members that differ are written."""
    changed = {name: getattr(after, name) for name in _OWN if getattr(after, name) != getattr(before, name)}
    if changed:
        tx.execute(update(_T).where(_T.c.id == before.id).values(changed))
    known = {m.staff: m for m in before.members}
    gone = known.keys() - {m.staff for m in after.members}
    if gone:
        tx.execute(delete(_M).where(_M.c.conference == before.id, _M.c.staff.in_(gone)))
    for member in after.members:
        was, row = known.get(member.staff), _member(before.id, member)
        if was is None:
            tx.execute(insert(_M).values(row))
        elif was != member:
            key = and_(_M.c.conference == before.id, _M.c.staff == member.staff)
            tx.execute(update(_M).where(key).values(row))


def _member(conference: int, one: Member) -> dict[str, Any]:
    return {
        "conference": conference, "staff": one.staff, "asked_at": one.asked_at, "answer": one.answer, "pledged_at": one.pledged_at,
    }  # fmt: skip


def load(tx: Tx, id: int) -> Conference | None:
    return next(iter(_read(tx, [id])), None)


def of_case(tx: Tx, case: int) -> list[Conference]:
    """Read the conferences about a case, the newest first."""
    return _read(tx, tx.execute(select(_C.c.conference).where(_C.c.case_id == case)).scalars())


def of_staff(tx: Tx, staff: str, limit: int = 50) -> list[Conference]:
    """Read the conferences that somebody was called to, the newest first."""
    mine = select(_M.c.conference).where(_M.c.staff == staff).order_by(_M.c.conference.desc()).limit(limit)
    return _read(tx, tx.execute(mine).scalars())


def of_member(tx: Tx, staff: str) -> frozenset[int]:
    """The 支援会議 and others where this person has pledged secrecy: what was learned there is open to them."""
    pledged = (
        select(_M.c.conference)
        .join(_T, _T.c.id == _M.c.conference)
        .where(_M.c.staff == staff, _M.c.pledged_at.is_not(None), _T.c.state != "cancelled")
    )
    return frozenset(tx.execute(pledged).scalars())


def planned(tx: Tx, kinds: Sequence[str], limit: int = 50) -> list[Conference]:
    """Read those of some kinds that are planned or held and not yet closed, the newest first."""
    live = select(_T.c.id).where(_T.c.kind.in_(kinds), _T.c.state.in_(("planned", "held")))
    return _read(tx, tx.execute(live.order_by(_T.c.id.desc()).limit(limit)).scalars())


def numbers(tx: Tx, several: Iterable[Conference]) -> dict[int, str]:
    """Find the numbers of their cases: whoever was called has been told them."""
    ids = {i for one in several for i in one.cases}
    rows = tx.execute(select(tables.cases.c.id, tables.cases.c.number).where(tables.cases.c.id.in_(ids)))
    return dict(map(tuple, rows))


def _read(tx: Tx, ids: Iterable[int]) -> list[Conference]:
    wanted = list(ids)
    if not wanted:
        return []
    cases: dict[int, list[int]] = {}
    for conference, case in tx.execute(
        select(_C.c.conference, _C.c.case_id).where(_C.c.conference.in_(wanted)).order_by(_C.c.case_id)
    ):
        cases.setdefault(conference, []).append(case)
    members: dict[int, list[Member]] = {}
    asked = select(_M.c.conference, _M.c.staff, _M.c.asked_at, _M.c.answer, _M.c.pledged_at)
    for conference, *row in tx.execute(asked.where(_M.c.conference.in_(wanted)).order_by(_M.c.asked_at, _M.c.staff)):
        members.setdefault(conference, []).append(Member(*row))
    rows = tx.execute(select(*_COLUMNS).where(_T.c.id.in_(wanted)).order_by(_T.c.id.desc()))
    return [
        Conference(
            **dict(zip(_OWN, row, strict=True)), cases=tuple(cases.get(row[0], ())), members=tuple(members.get(row[0], ()))
        )
        for row in rows
    ]  # fmt: skip


# What is decided, and kept per 相談者


def decide(tx: Tx, one: Decision) -> None:
    tx.execute(insert(_D).values(one._asdict()))


def decisions(tx: Tx, conference: int) -> list[Decision]:
    """Read what a conference has decided, the oldest first."""
    found = select(*(_D.c[name] for name in Decision._fields)).where(_D.c.conference == conference).order_by(_D.c.id)
    return [Decision(*row) for row in tx.execute(found)]


def records(tx: Tx, conference: int) -> dict[int, Record]:
    """Read direction and next date of each case of a conference."""
    found = select(*(_C.c[name] for name in Record._fields)).where(_C.c.conference == conference)
    return {row.case_id: Record(*row) for row in tx.execute(found)}


def keep_record(tx: Tx, conference: int, one: Record) -> None:
    """Keep direction and next date of a case; what is left out stays as it is."""
    given = {"note": one.note, "direction": one.direction, "next_at": one.next_at}
    changed = {name: value for name, value in given.items() if value}
    if changed:
        tx.execute(update(_C).where(_C.c.conference == conference, _C.c.case_id == one.case_id).values(changed))


# What the city has decided


class Approvals(NamedTuple):
    """How often support was decided on since a moment, and how often it had begun before (事後承認)."""

    before: int
    after: int


def approvals(tx: Tx, since: datetime) -> Approvals:
    """Count how support began: with 支援決定, or with one still to come, which hollows the meeting out (domain.md, rule 5)."""
    known = and_(_J.c.kind == "case.decision", _J.c.at >= since)
    first = and_(_J.c.dest == "made", or_(_J.c.source.is_(None), _J.c.source != "pending"))
    rows = tx.execute(
        select(func.count().filter(first), func.count().filter(_J.c.dest == "pending")).where(known)
    ).one()
    return Approvals(*rows)
