"""Cases: read one for a decision, keep what it became, and the lists that pages show.

Whoever changes a case locks its row before anything else of it (`load(…, lock=True)`), several in ascending id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy import case as sql_case
from sqlalchemy import insert as _insert

from storage import tables, waits
from storage.codec import Codec
from storage.prepared import Prepared, Several, names_of, several
from storage.sight import Seer, known, moment, seer, unhidden
from storage.tx import Record, Tx
from workflow.case import TRACK, Case, Handoff, Opening, Wait
from workflow.ladder import Urgency
from workflow.path import ASKED, ENDED, HELD
from workflow.sight import Eyes, Sight

_T: Final = tables.cases
_H: Final = tables.handoffs
_W: Final = tables.waits

_COLUMNS: Final = (
    "id", "number", "household", "previous", "stage", "urgency", "lead", "interim", "version", "seq", "head",
    "opened_at", "opened_by", "opened_agency", "district", "moved_at", "stage_at", "closed_at",
)  # fmt: skip
_CODEC: Final = Codec(Case, without=(*_COLUMNS, "handoffs", "waits"))
_HANDOFF_COLUMNS: Final = (
    "id", "no", "duty", "state", "sender", "from_agency", "to_agency", "to_staff", "holder", "batch", "offered_at",
    "ended_at",
)  # fmt: skip
_HANDOFF_CODEC: Final = Codec(Handoff, without=_HANDOFF_COLUMNS)
_URGENCY: Final = {member.value: member for member in Urgency}


class SlowerWriter(Exception):
    """Somebody else changed this case first."""

    def __init__(self) -> None:
        super().__init__("Somebody else changed this case first.")


class CaseRow(NamedTuple):
    """A case as lists show it."""

    id: int
    number: str
    stage: str
    urgency: Urgency
    lead: str | None
    interim: str | None
    district: str | None
    opened_at: datetime
    stage_at: datetime | None
    nearest_due: datetime | None
    nearest_kind: str | None
    previous: int | None
    restricted: bool
    flags: tuple[str, ...]


# One case


def _whole(key: ColumnElement[bool], lock: bool | str = False) -> Prepared:
    """Cases with their handoffs and open waits in one answer: their columns under those of the case, told apart by `part`.

    A lock may have waited for somebody: then a case is newer than its parts, and `seen` is not its version.
    """
    found = select(_T).where(key)
    c = (found.with_for_update(skip_locked=lock == "skip") if lock else found).cte("found").c
    seen = select(_T.c.version).where(_T.c.id == c.id).scalar_subquery()
    named = select(_T.c.id).where(key)
    return Prepared(union_all(
        select(
            literal_column("0").label("part"), c.id, c.version.label("n"), c.household, c.opened_at, c.stage_at, c.stage, c.lead,
            c.urgency, c.interim, c.district, c.opened_by, c.opened_agency, c.doc, c.number, c.previous, c.seq, c.head, c.moved_at,
            c.closed_at, seen.label("seen"), c.id.label("of"),
        ),
        select(
            literal_column("1"), _H.c.id, _H.c.no, _H.c.batch, _H.c.offered_at, _H.c.ended_at, _H.c.duty, _H.c.holder,
            _H.c.state, _H.c.sender, _H.c.from_agency, _H.c.to_agency, _H.c.to_staff, _H.c.doc, *_NOTHING, _H.c.case_id,
        ).where(_H.c.case_id.in_(named)),
        select(
            literal_column("2"), _W.c.id, _W.c.rung, _W.c.handoff, _W.c.opened_at, _W.c.due_at, _W.c.kind, _W.c.owner,
            _W.c.urgency, _W.c.subject, _W.c.why, _W.c.policy, null(), _W.c.doc, *_NOTHING, _W.c.case_id,
        ).where(_W.c.case_id.in_(named), _W.c.closed_at.is_(None)),
    ).order_by("of", "part", "id"))  # fmt: skip


_NOTHING: Final = (null(),) * 7
_KEYS: Final[dict[type, ColumnElement[bool]]] = {str: _T.c.number == bindparam("key"), int: _T.c.id == bindparam("key")}
_LOADS: Final = {(kind, lock): _whole(key, lock) for kind, key in _KEYS.items() for lock in (False, True)}
_INSERT: Final = Prepared(_insert(_T))
_SAVE: Final = Prepared(
    update(_T).where(_T.c.id == bindparam("of_id"), _T.c.version == bindparam("of_version")), keys=("of_id",)
)
_INSERT_OPENING: Final = Prepared(_insert(tables.openings))
_INSERT_HANDOFF: Final = Prepared(_insert(_H))
#: Without keys: a lead passes on from one row to the next, in this order.
_SAVE_HANDOFF: Final = Prepared(update(_H).where(_H.c.id == bindparam("of_id")))


def load(tx: Tx, number_or_id: str | int, *, lock: bool) -> Case | None:
    """Read a case by its number or its id, with its handoffs and its open waits; None: there is none.

    On SQLite the writer thread is the lock.
    """
    while True:
        rows = tx.execute(_LOADS[type(number_or_id), lock], {"key": number_or_id}).all()
        if not rows or rows[0][0] != 0:
            return None
        if rows[0].n == rows[0].seen:
            return _case(rows[0], rows[1:])


def load_several(tx: Tx, ids: Iterable[int]) -> list[Case]:
    """Read cases, unlocked, in ascending id."""
    return [_case(row, parts) for some in several(sorted(set(ids))) for row, *parts in _read(tx, some, lock=False)]


def load_free(tx: Tx, ids: Iterable[int]) -> list[Case]:
    """Lock and read those of some cases that nobody is at, in ascending id."""
    found = []
    for some in several(sorted(set(ids))):
        rows = _read(tx, some, lock=True)
        while any(row.n != row.seen for row, *_ in rows):
            rows = _read(tx, some, lock=True)
        found += [_case(row, parts) for row, *parts in rows]
    return found


def _read(tx: Tx, some: Several, *, lock: bool) -> list[list[Record]]:
    """The rows of each case; what is left of one that was skipped are its parts alone."""
    rows = tx.execute(_several(some.size, lock), some.named)
    return [found for _, group in groupby(rows, itemgetter(-1)) if (found := list(group))[0][0] == 0]


@cache
def _several(size: int, lock: bool) -> Prepared:
    return _whole(_T.c.id.in_(names_of(size)), "skip" if lock else False)


_OPEN_IDS: Final = Prepared(select(_T.c.id).where(_T.c.stage != tables.constant("closed")).order_by(_T.c.id))


_ALL_IDS: Final = Prepared(select(_T.c.id).order_by(_T.c.id))


def all_ids(tx: Tx) -> list[int]:
    """List every case, ascending."""
    return [id_ for (id_,) in tx.execute(_ALL_IDS)]


def open_ids(tx: Tx) -> list[int]:
    """List every open case, ascending."""
    return [id_ for (id_,) in tx.execute(_OPEN_IDS)]


def insert(tx: Tx, case: Case) -> None:
    """Keep a new case with its handoffs and waits. Its household has to be there."""
    tx.put(_INSERT, [_given(case) | _changing(case)])
    _save_handoffs(tx, case.id, (), case.handoffs)
    _save_openings(tx, case.id, (), case.openings)
    waits.save(tx, case.id, (), case.waits, (), case.opened_at)


def save(tx: Tx, before: Case, after: Case, closed: Sequence[Wait] = (), *, at: datetime) -> Case:
    """Keep what a decision made of a case and answer it with its new version.

    Raises SlowerWriter, by the commit at the latest, when the row no longer has `before`'s version: nothing is written then.
    """
    after = after.become(version=before.version + 1)
    tx.put(_SAVE, [_changing(after) | {"of_id": before.id, "of_version": before.version}], missed=SlowerWriter)
    _save_handoffs(tx, after.id, before.handoffs, after.handoffs)
    _save_openings(tx, after.id, before.openings, after.openings)
    waits.save(tx, after.id, before.waits, after.waits, closed, at)
    return after


def _case(row: Record, parts: Sequence[Record]) -> Case:
    (
        _, id_, version, household, opened_at, stage_at, stage, lead, urgency, interim, district, opened_by, opened_agency, doc,
        number, previous, seq, head, moved_at, closed_at, *_,
    ) = row  # fmt: skip
    return _CODEC.load(
        doc, id=id_, number=number, household=household, previous=previous, stage=stage, urgency=_URGENCY[urgency],
        lead=lead, interim=interim, version=version, seq=seq, head=head, opened_at=opened_at, opened_by=opened_by,
        opened_agency=opened_agency, district=district, moved_at=moved_at, stage_at=stage_at, closed_at=closed_at,
        handoffs=tuple(_handoff(part) for part in parts if part[0] == 1),
        waits=tuple(_wait(part) for part in parts if part[0] == 2),
    )  # fmt: skip


def _wait(part: Record) -> Wait:
    _, id_, rung, handoff, opened_at, due_at, kind, owner, urgency, subject, why, policy, _, doc, *_ = part
    return waits.from_row(
        (id_, kind, owner, handoff, due_at, opened_at, rung, urgency, subject, None, why, policy, doc)
    )


def _handoff(part: Record) -> Handoff:
    (
        _, id_, no, batch, offered_at, ended_at, duty, holder, state, sender, from_agency, to_agency, to_staff, doc, *_,
    ) = part  # fmt: skip
    return _HANDOFF_CODEC.load(
        doc, id=id_, no=no, duty=duty, state=state, sender=sender, from_agency=from_agency, to_agency=to_agency,
        to_staff=to_staff, holder=holder, batch=batch, offered_at=offered_at, ended_at=ended_at,
    )  # fmt: skip


def _given(case: Case) -> dict[str, Any]:
    """The columns that never change; in an UPDATE a key makes SQLite look for every row that points to it."""
    return {
        "id": case.id,
        "number": case.number,
        "household": case.household,
        "opened_at": case.opened_at,
        "opened_by": case.opened_by,
        "opened_agency": case.opened_agency,
    }


def _changing(case: Case) -> dict[str, Any]:
    nearest = case.nearest
    return {
        "previous": case.previous,
        "stage": case.stage,
        "urgency": case.urgency.value,
        "lead": case.lead,
        "lead_active": 1 if case.lead and case.open else None,  # a closed case does not keep anybody in the town
        "interim": case.interim,
        "version": case.version,
        "seq": case.seq,
        "head": case.head,
        "district": case.district,
        "moved_at": case.moved_at,
        "stage_at": case.stage_at,
        "closed_at": case.closed_at,
        "nearest_due": nearest.due_at if nearest else None,
        "nearest_kind": nearest.kind if nearest else None,
        "waiting": len(case.waits),
        "restricted": case.restricted,
        "overseer": case.overseer,
        "barred": _between_spaces(case.barred),
        "flags": _between_spaces(case.flags),
        "doc": _CODEC.dump(case),
    }


def _between_spaces(codes: Sequence[str]) -> str | None:
    return f" {' '.join(codes)} " if codes else None


def _save_openings(tx: Tx, case: int, before: Sequence[Opening], after: Sequence[Opening]) -> None:
    """Keep who has been let in; one that is over goes from the case and stays here."""
    fresh = [o for o in after if o not in before]
    if fresh:
        tx.put(_INSERT_OPENING, [
            {"id": o.id, "case_id": case, "staff": o.staff, "reason": o.why, "text": o.text, "at": o.at, "until": o.until}
            for o in fresh
        ])  # fmt: skip


def _save_handoffs(tx: Tx, case: int, before: Iterable[Handoff], after: Iterable[Handoff]) -> None:
    """Write the handoffs that differ; those that ended first, so that a lead never has two holders on the way."""
    old = {handoff.id: handoff for handoff in before}
    changed = [h for h in after if h is not old.get(h.id) and h != old.get(h.id)]
    fresh = [{"id": h.id, "case_id": case, "no": h.no} | _handoff_row(h) for h in changed if h.id not in old]
    kept = sorted((h for h in changed if h.id in old), key=lambda h: h.state not in ENDED)
    if kept:
        tx.put(_SAVE_HANDOFF, [_handoff_row(h) | {"of_id": h.id} for h in kept])
    if fresh:
        tx.put(_INSERT_HANDOFF, fresh)


def _handoff_row(handoff: Handoff) -> dict[str, Any]:
    return {
        "duty": handoff.duty,
        "state": handoff.state,
        "sender": handoff.sender,
        "from_agency": handoff.from_agency,
        "to_agency": handoff.to_agency,
        "to_staff": handoff.to_staff,
        "holder": handoff.holder,
        "batch": handoff.batch,
        "offered_at": handoff.offered_at,
        "ended_at": handoff.ended_at,
        "doc": _HANDOFF_CODEC.dump(handoff),
    }


# Lists

#: Statements of one kind that are kept, each with the conditions of one person's sight.
KEPT: Final = 128
_LIGHT: Final = tuple(_T.c[name] for name in CaseRow._fields)
_OPEN: Final = _T.c.stage != tables.constant("closed")


@dataclass(frozen=True, slots=True)
class Filter:
    """What narrows a list; None and empty narrow nothing."""

    stages: tuple[str, ...] = ()
    lead: str | None = None
    interim: bool = False
    agency: str | None = None  #: leads, holds, or is asked
    duty: str | None = None  #: somebody holds or is asked it
    district: str | None = None
    urgency: Urgency | None = None
    late: datetime | None = None  #: nearest wait due before this
    number: str | None = None  #: a part of the number

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.stages:
            found.append(_T.c.stage.in_(self.stages))
        if self.lead:
            found.append(_T.c.lead == self.lead)
        if self.interim:
            found.append(_T.c.interim.is_not(None))
        if self.agency:
            found.append(_with_agency(self.agency))
        if self.duty:
            found.append(
                _T.c.id.in_(select(_H.c.case_id).where(_H.c.duty == self.duty, _H.c.state.in_((*ASKED, *HELD))))
            )
        if self.district:
            found.append(_T.c.district == self.district)
        if self.urgency:
            found.append(_T.c.urgency == self.urgency.value)
        if self.late:
            found.append(_T.c.nearest_due < self.late)
        if self.number:
            found.append(_T.c.number.contains(self.number, autoescape=True))
        return found


def _with_agency(agency: str) -> ColumnElement[bool]:
    asked = select(_H.c.case_id).where(_H.c.to_agency == agency, _H.c.state.in_((*ASKED, *HELD)))
    leads = select(tables.staff.c.code).where(tables.staff.c.agency == agency)
    return or_(_T.c.id.in_(asked), _T.c.lead.in_(leads), _T.c.interim == agency)


class StageColumn(NamedTuple):
    """One stage of the board: how many, and the first of them, late ones first."""

    stage: str
    total: int
    rows: list[CaseRow]


def board(tx: Tx, eyes: Eyes, filters: Filter | None = None, per_stage: int = 50) -> dict[str, StageColumn]:
    """Read the open cases by stage; a stage without cases is missing."""
    columns: dict[str, StageColumn] = {}
    for *light, _, total in tx.execute(_board(seer(eyes), filters, per_stage), moment(eyes)):
        row = _light(light)
        columns.setdefault(row.stage, StageColumn(row.stage, total, [])).rows.append(row)
    return columns


@lru_cache(maxsize=KEPT)
def _board(seen: Seer | None, filters: Filter | None, per_stage: int) -> Prepared:
    ranked = (
        select(
            *_LIGHT,
            func.row_number()
            .over(order_by=(_T.c.nearest_due.nulls_last(), _T.c.id), partition_by=_T.c.stage)
            .label("place"),
            func.count().over(partition_by=_T.c.stage).label("of"),
        )
        .where(_OPEN, known(seen), *(filters.conditions() if filters else ()))
        .subquery()
    )
    return Prepared(select(ranked).where(ranked.c.place <= per_stage).order_by(ranked.c.stage, ranked.c.place))


def refs(
    tx: Tx,
    eyes: Eyes,
    filters: Filter | None = None,
    *,
    ids: Iterable[int] | None = None,
    closed: bool = False,
    limit: int = 500,
) -> list[CaseRow]:
    """List cases, the nearest due first; open ones unless `closed` (then those too) or `ids` names them."""
    found = select(*_LIGHT).where(known(seer(eyes)), *(filters.conditions() if filters else ()))
    if ids is not None:
        found = found.where(_T.c.id.in_(list(ids)))
    elif not closed:
        found = found.where(_OPEN)
    return _rows(tx, found.order_by(_T.c.nearest_due.nulls_last(), _T.c.id).limit(limit), **moment(eyes))


class Stake(NamedTuple):
    """A case and what somebody has to do with it."""

    case: CaseRow
    relation: Literal["lead", "holder", "sender", "asked"]
    handoff: int | None
    duty: str | None
    state: str | None


def of_staff(tx: Tx, sight: Sight) -> list[Stake]:
    """List the open cases that a person leads, holds, sent and is still there for, or is asked about: all of them known to them.

    A case comes once for each relation; the nearest due first.
    """
    own = {f"agency_{i}": code for i, code in enumerate(sight.answers)}
    rows = tx.execute(_of_staff(len(sight.answers)), {"staff": sight.me.code, **own})
    size = len(_LIGHT)
    return [Stake(_light(row[:size]), *row[size:]) for row in rows]


class HeldBy(NamedTuple):
    """What somebody else has to do, as far as the reader may know it, and how many more stakes there are."""

    stakes: list[Stake]
    unseen: int


def held_by(tx: Tx, eyes: Eyes, staff: str) -> HeldBy:
    """List the open cases that a person of one's choice leads, holds, sent, or is asked about by name."""
    size = len(_LIGHT)
    rows = tx.execute(_stakes(0).add_columns(known(seer(eyes)).label("seen")), {"staff": staff} | moment(eyes)).all()
    seen = [Stake(_light(row[:size]), *row[size:-1]) for row in rows if row[-1]]
    return HeldBy(seen, len(rows) - len(seen))


@cache
def _of_staff(agencies: int) -> Prepared:
    return Prepared(_stakes(agencies))


def _stakes(agencies: int) -> Select[Any]:
    """For a person of so many agencies: nearly always one."""
    me = bindparam("staff", type_=Text)
    here = [_H.c.to_agency == bindparam(f"agency_{i}") for i in range(agencies)]
    awaited = or_(_H.c.state.in_(ASKED), _H.c.state == "accepted")
    asked_here = and_(
        _H.c.state.in_(ASKED), or_(_H.c.to_staff == me, and_(_H.c.to_staff.is_(None), or_(false(), *here)))
    )
    none = null()
    kinds = union_all(
        select(_T.c.id.label("of"), literal("lead").label("relation"), none.label("handoff"), none.label("duty"),
               none.label("state")).where(_T.c.lead == me, _OPEN),
        _stake("holder", _H.c.holder == me, _H.c.state.in_(HELD)),
        _stake("sender", _H.c.sender == me, awaited),
        _stake("asked", asked_here),
    ).subquery()  # fmt: skip
    return (
        select(*_LIGHT, kinds.c.relation, kinds.c.handoff, kinds.c.duty, kinds.c.state)
        .join(kinds, kinds.c.of == _T.c.id)
        .where(_OPEN)
        .order_by(_T.c.nearest_due.nulls_last(), _T.c.id, kinds.c.handoff)
    )


def _stake(relation: str, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(_H.c.case_id, literal(relation), _H.c.id, _H.c.duty, _H.c.state).where(*conditions)


class Loads(NamedTuple):
    """How much each agency carries; agencies that carry nothing are missing."""

    leads: dict[str, int]
    roles: dict[str, int]
    overdue: dict[str, int]


_LEADS: Final = (
    select(func.coalesce(tables.staff.c.agency, _T.c.interim), func.count())
    .select_from(_T.outerjoin(tables.staff, tables.staff.c.code == _T.c.lead))
    .where(_OPEN)
    .group_by(func.coalesce(tables.staff.c.agency, _T.c.interim))
)
_ROLES: Final = (
    select(_H.c.to_agency, func.count())
    .join(_T, _T.c.id == _H.c.case_id)
    .where(_H.c.state.in_(HELD), _H.c.duty != "lead")
    .group_by(_H.c.to_agency)
)
#: A track's waits (workflow/report.py) stand in no list and no count that others read.
_LISTED: Final = _W.c.kind.not_in([tables.constant(kind) for kind in sorted(TRACK)])
_BURDENED: Final = func.coalesce(_H.c.to_agency, tables.staff.c.agency, _T.c.interim)
_OVERDUE_BY_AGENCY: Final = (
    select(_BURDENED, func.count(_T.c.id.distinct()))
    .select_from(
        _W.join(_T, _T.c.id == _W.c.case_id)
        .outerjoin(_H, and_(_H.c.id == _W.c.handoff, _W.c.owner.in_(("receiver", "holder", "head"))))
        .outerjoin(tables.staff, tables.staff.c.code == _T.c.lead)
    )
    .where(_W.c.closed_at.is_(None), _W.c.due_at < bindparam("now"), _LISTED)
    .group_by(_BURDENED)
)


def loads(tx: Tx, eyes: Eyes, now: datetime) -> Loads:
    """Count leads, held roles and cases with something overdue by agency; what the body holds is its own.

    Whole agencies, also before who knows few of their cases: a hint. Only what is hidden from the reader is not counted.
    """
    leads, roles, overdue = _loads(seer(eyes))
    return Loads(
        dict(map(tuple, tx.execute(leads, moment(eyes)))),
        dict(map(tuple, tx.execute(roles, moment(eyes)))),
        dict(map(tuple, tx.execute(overdue, {"now": now} | moment(eyes)))),
    )


@lru_cache(maxsize=KEPT)
def _loads(seen: Seer | None) -> tuple[Prepared, Prepared, Prepared]:
    counted = unhidden(seen)
    return Prepared(_LEADS.where(counted)), Prepared(_ROLES.where(counted)), Prepared(_OVERDUE_BY_AGENCY.where(counted))


class OpenWait(NamedTuple):
    """Something that somebody has to do, and in which case."""

    case: CaseRow
    wait: Wait


#: Emergencies first, then the longest wait.
_FIRST: Final = (sql_case({"emergency": 0, "high": 1}, value=_W.c.urgency, else_=2), _W.c.due_at, _W.c.id)
_WAITS: Final = (
    select(*_LIGHT, *waits.COLUMNS).join(_T, _T.c.id == _W.c.case_id).where(_W.c.closed_at.is_(None)).order_by(*_FIRST)
)


def open_waits(
    tx: Tx,
    eyes: Eyes,
    *,
    owners: Sequence[str] = (),
    kinds: Sequence[str] = (),
    due_before: datetime | None = None,
    lead: str | None = None,
    receiver_agencies: Sequence[str] = (),
    holder: str | None = None,
    limit: int = 500,
) -> list[OpenWait]:
    """List open waits of cases, the most urgent and then the longest due first.

    `owners` are relations (lead, receiver …); `lead` is the case's, `holder` and `receiver_agencies` the handoff's.
    """
    found = _WAITS.where(known(seer(eyes)))
    if owners:
        found = found.where(_W.c.owner.in_(owners))
    if kinds:
        found = found.where(_W.c.kind.in_(kinds))
    if due_before:
        found = found.where(_W.c.due_at < due_before)
    if lead:
        found = found.where(_T.c.lead == lead)
    if holder:
        found = found.where(_W.c.handoff.in_(select(_H.c.id).where(_H.c.holder == holder)))
    if receiver_agencies:
        found = found.where(_W.c.handoff.in_(select(_H.c.id).where(_H.c.to_agency.in_(receiver_agencies))))
    return [_open_wait(row) for row in tx.execute(found.limit(limit), moment(eyes))]


class Group(NamedTuple):
    """Waits of one kind of trouble: how many, and the first of them."""

    total: int
    rows: list[OpenWait]


class Exceptions(NamedTuple):
    """What the board shows first: emergencies first, then the longest wait. Each wait stands in one group."""

    unanswered: Group  #: 返事がまだ: offers past their due time
    refused_twice: Group  #: 2回辞退: needs that nobody took, the coordinator names the next step
    overdue: Group  #: 期限をすぎた: everything else past its due time
    queue: Group  #: items that climbed into the coordinator's queue


_STUCK: Final = and_(_W.c.kind == "next_step", _W.c.owner == "coordinator")
_GROUP: Final = sql_case(
    (_W.c.kind == "queue", "queue"),
    (_STUCK, "refused_twice"),
    (_W.c.kind.in_(("react", "decide")), "unanswered"),
    else_="overdue",
).label("group_")


def exceptions(
    tx: Tx, eyes: Eyes, now: datetime, filters: Filter | None = None, most: int = 200, *, tracks: bool = False
) -> Exceptions:
    """Sort what is late or stuck into the board's groups; `most` rows are read of each. `tracks`: those of suspicions too."""
    found: dict[str, Group] = {}
    for group, count, *row in tx.execute(_exceptions(seer(eyes), filters, most, tracks), {"now": now} | moment(eyes)):
        found.setdefault(group, Group(count, [])).rows.append(_open_wait(row))
    return Exceptions(*(found.get(name) or Group(0, []) for name in Exceptions._fields))


@lru_cache(maxsize=KEPT)
def _exceptions(seen: Seer | None, filters: Filter | None, most: int, tracks: bool) -> Prepared:
    late = or_(_W.c.due_at < bindparam("now"), _W.c.kind == "queue", _STUCK)
    place = func.row_number().over(partition_by=_GROUP, order_by=_FIRST).label("place")
    total = func.count().over(partition_by=_GROUP).label("total")
    ranked = (
        select(_W.c.id, _GROUP, place, total)
        .join(_T, _T.c.id == _W.c.case_id)
        .where(
            _W.c.closed_at.is_(None),
            late,
            known(seen),
            *(() if tracks else (_LISTED,)),
            *(filters.conditions() if filters else ()),
        )
        .subquery()
    )
    return Prepared(
        select(ranked.c.group_, ranked.c.total, *_LIGHT, *waits.COLUMNS)
        .join(_W, _W.c.id == ranked.c.id)
        .join(_T, _T.c.id == _W.c.case_id)
        .where(ranked.c.place <= most)
        .order_by(ranked.c.group_, ranked.c.place)
    )


_OF_HOUSEHOLD: Final = select(*_LIGHT).where(_T.c.household == bindparam("household")).order_by(_T.c.id)
_TAKEN: Final = Prepared(select(_T.c.id).where(_T.c.number == bindparam("number")))
_NUMBERS: Final = select(*_LIGHT).where(_T.c.number.in_(bindparam("numbers", expanding=True))).order_by(_T.c.id)


class Household(NamedTuple):
    """A household's episodes, the oldest first, as far as the reader may know them."""

    known: list[CaseRow]
    others: int  #: that there are more may be said; of what is hidden not even that
    hidden: bool  #: for the page alone: what was written about the household may be of a hidden case


def of_household(tx: Tx, eyes: Eyes, household: int) -> Household:
    """List a household's episodes."""
    rows = tx.execute(_of_household(seer(eyes)), {"household": household} | moment(eyes)).all()
    mine = [_light(row[:-2]) for row in rows if row[-2]]
    return Household(mine, sum(bool(row[-1]) for row in rows) - len(mine), not all(row[-1] for row in rows))


@lru_cache(maxsize=KEPT)
def _of_household(seen: Seer | None) -> Prepared:
    return Prepared(_OF_HOUSEHOLD.add_columns(known(seen).label("known"), unhidden(seen).label("unhidden")))


def find_numbers(tx: Tx, eyes: Eyes, numbers: Iterable[str]) -> list[CaseRow]:
    """List the cases that exist among these numbers."""
    return _rows(tx, _NUMBERS.where(known(seer(eyes))), numbers=list(numbers), **moment(eyes))


def numbers_of(tx: Tx, eyes: Eyes, ids: Iterable[int]) -> dict[int, str]:
    """Name cases for whoever looks after the engine: the number of each that is not hidden from them."""
    found = select(_T.c.id, _T.c.number).where(_T.c.id.in_(list(ids)), unhidden(seer(eyes)))
    return dict(map(tuple, tx.execute(found, moment(eyes))))


def taken(tx: Tx, number: str) -> bool:
    """Say whether a number has been given already."""
    return tx.execute(_TAKEN, {"number": number}).first() is not None


def _rows(tx: Tx, statement: Select[*tuple[Any, ...]], **parameters: object) -> list[CaseRow]:
    return [_light(row) for row in tx.execute(statement, parameters)]


def _light(row: Record | Sequence[Any]) -> CaseRow:
    id_, number, stage, urgency, *rest = row
    rest[-1] = tuple((rest[-1] or "").split())
    return CaseRow(id_, number, stage, _URGENCY[urgency], *rest)


def _open_wait(row: Record | Sequence[Any]) -> OpenWait:
    size = len(_LIGHT)
    return OpenWait(_light(row[:size]), waits.from_row(row[size:]))
