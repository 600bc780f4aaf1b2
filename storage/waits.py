"""Waits and the timers that ring them. Those of a case are kept by `cases.save`; some are about a person alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select

from storage import tables
from storage.codec import Codec, policy_of, policy_text
from storage.prepared import Prepared
from storage.tx import Record, Tx
from storage.upsert import insert_or_update
from workflow.case import Wait
from workflow.ladder import Urgency

_T: Final = tables.waits
_TIMERS: Final = tables.timers
_COLUMNS: Final = (
    "id",
    "kind",
    "owner",
    "handoff",
    "due_at",
    "opened_at",
    "rung",
    "urgency",
    "subject",
    "closed_at",
    "why",
)
_CODEC: Final = Codec(Wait, without=(*_COLUMNS, "policy"))

#: What `from_row` wants, in this order.
COLUMNS: Final = (*(_T.c[name] for name in _COLUMNS), _T.c.policy, _T.c.doc)

_OF_CASE: Final = Prepared(
    select(*COLUMNS).where(_T.c.case_id == bindparam("case"), _T.c.closed_at.is_(None)).order_by(_T.c.id)
)
_BY_ID: Final = select(*COLUMNS).where(_T.c.id == bindparam("wait"), _T.c.closed_at.is_(None))
_ONE: Final = Prepared(_BY_ID)
_LOCKED: Final = Prepared(_BY_ID.with_for_update())
_LOOSE: Final = Prepared(select(*COLUMNS).where(_T.c.case_id.is_(None), _T.c.closed_at.is_(None)).order_by(_T.c.id))
_PUT: Final = Prepared(
    insert_or_update(
        _T, ("id",), "owner", "due_at", "opened_at", "rung", "urgency", "closed_at", "why", "policy", "doc"
    ),
    keys=("id",),
)
_SET: Final = Prepared(
    insert_or_update(
        _TIMERS, ("wait_id", "rung"), "due_at", "cancelled_at", "tries", "retry_at", where=_TIMERS.c.fired_at.is_(None)
    ),
    keys=("wait_id", "rung"),
)
_URGENCY: Final = {member.value: member for member in Urgency}


class WaitLost(Exception):
    """A wait was open before and is neither open nor closed after: {kind}."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"A wait was open before and is neither open nor closed after: {kind}.")


def of_case(tx: Tx, case: int) -> tuple[Wait, ...]:
    """Read a case's open waits, the oldest first."""
    return tuple(from_row(row) for row in tx.execute(_OF_CASE, {"case": case}))


def get(tx: Tx, wait: int, *, lock: bool = False) -> Wait | None:
    """Read one open wait."""
    row = tx.execute(_LOCKED if lock else _ONE, {"wait": wait}).first()
    return from_row(row) if row else None


def loose(tx: Tx) -> list[Wait]:
    """Read the open waits that belong to no case."""
    return [from_row(row) for row in tx.execute(_LOOSE)]


def stand(tx: Tx, wait: Wait) -> None:
    """Open a wait that belongs to no case."""
    save(tx, None, (), (wait,), (), wait.opened_at)


def change(tx: Tx, before: Wait, after: Wait, at: datetime) -> None:
    """Keep what became of a wait that belongs to no case: another rung, another due time, or its end."""
    if after.closed_at:
        save(tx, None, (before,), (), (after,), at)
    else:
        save(tx, None, (before,), (after,), (), at)


def save(
    tx: Tx, case: int | None, before: Iterable[Wait], after: Iterable[Wait], closed: Iterable[Wait], at: datetime
) -> None:
    """Write the waits that differ and keep one live timer for each that rings; a rung that has rung rings no more."""
    old = {wait.id: wait for wait in before}
    put: list[dict[str, Any]] = []
    silenced: list[dict[str, Any]] = []
    armed: list[dict[str, Any]] = []
    for wait in (*after, *closed):
        was = old.pop(wait.id, None)
        if was is wait or was == wait:
            continue
        put.append(_row(case, wait))
        rings = None if wait.closed_at else wait.next_at
        if was and was.next_at and (rings is None or wait.rung != was.rung):
            silenced.append(_timer(case, was, was.next_at, at))
        if rings and (was is None or (rings, wait.rung) != (was.next_at, was.rung)):
            armed.append(_timer(case, wait, rings, None))
    for wait in old.values():
        raise WaitLost(wait.kind)
    if put:
        tx.put(_PUT, put)
    if silenced or armed:
        # Silenced first: a wait has one live timer at any instant.
        tx.put(_SET, silenced + armed)
        tx.flag("timers")


def from_row(row: Record | Sequence[Any]) -> Wait:
    """Make a wait of a row selected with COLUMNS."""
    id_, kind, owner, handoff, due_at, opened_at, rung, urgency, subject, closed_at, why, policy, doc = row
    return _CODEC.load(
        doc, id=id_, kind=kind, owner=owner, handoff=handoff, due_at=due_at, opened_at=opened_at, rung=rung,
        urgency=_URGENCY[urgency], subject=subject, closed_at=closed_at, why=why, policy=policy_of(policy),
    )  # fmt: skip


def _timer(case: int | None, wait: Wait, rings: datetime, cancelled: datetime | None) -> dict[str, Any]:
    return {"wait_id": wait.id, "case_id": case, "rung": wait.rung, "due_at": rings, "cancelled_at": cancelled}


def _row(case: int | None, wait: Wait) -> dict[str, Any]:
    return {
        "id": wait.id,
        "case_id": case,
        "kind": wait.kind,
        "owner": wait.owner,
        "handoff": wait.handoff,
        "due_at": wait.due_at,
        "opened_at": wait.opened_at,
        "rung": wait.rung,
        "urgency": wait.urgency.value,
        "subject": wait.subject,
        "closed_at": wait.closed_at,
        "why": wait.why,
        "policy": policy_text(wait.policy),
        "doc": _CODEC.dump(wait),
    }
