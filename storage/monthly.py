"""Figures of past months that nothing left in the record could give again: kept just before an erasure, added to for ever."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import insert, select, update

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx
from workflow.monthly import Figure

_T: Final = tables.monthly_figures
_ALL: Final = Prepared(select(_T.c.month, _T.c.name, _T.c.dimensions, _T.c.count))


def keep(tx: Tx, figures: Mapping[Figure, int]) -> None:
    """Add counts to those kept. (Two people erase at a time at most: the second waits for the town's journal.)"""
    for figure, count in sorted(figures.items()):
        row = {"month": figure.month, "name": figure.name, "dimensions": dict(figure.dimensions)}
        here = (_T.c.month == row["month"], _T.c.name == row["name"], _T.c.dimensions == row["dimensions"])
        if not tx.execute(update(_T).where(*here).values(count=_T.c.count + count)).rowcount:
            tx.execute(insert(_T).values(**row, count=count))


def kept(tx: Tx) -> Counter[Figure]:
    """All of them."""
    return Counter({
        Figure(month, name, tuple(sorted(dimensions.items()))): count for month, name, dimensions, count in tx.execute(_ALL)
    })  # fmt: skip
