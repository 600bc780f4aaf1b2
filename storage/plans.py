"""Versions of support plans; the database keeps exactly one current one of a kind (I12)."""

from typing import Final

from sqlalchemy import and_, insert, select, update

from storage import tables
from storage.tx import Tx
from workflow.plan import Plan

_T: Final = tables.plans
_NAMES: Final = tuple(c.name for c in _T.columns)


def keep(tx: Tx, plan: Plan) -> None:
    """Make a version the current one; the one before is so no more from this moment. The case's row is locked."""
    whose = _T.c.person.is_(None) if plan.person is None else _T.c.person == plan.person
    before = and_(_T.c.case_id == plan.case_id, whose, _T.c.kind == plan.kind, _T.c.to_at.is_(None))
    tx.execute(update(_T).where(before).values(to_at=plan.from_at))
    tx.execute(insert(_T).values({name: getattr(plan, name) for name in _NAMES}))


def of_case(tx: Tx, case: int) -> list[Plan]:
    """Read every version of a case's plans, kind by kind, the newest first."""
    rows = tx.execute(select(_T).where(_T.c.case_id == case).order_by(_T.c.kind, _T.c.version.desc()))
    return [Plan(**row._mapping) for row in rows]
