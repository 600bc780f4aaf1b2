"""Whose turn it is in a conversation: what a bare 送る, a digit or 取消 means for one person."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, select

from storage import seal, tables
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_or_update

_T: Final = tables.turns
_NAMES: Final = ("staff", "conversation", "preview", "choices", "undo", "at")


@dataclass(frozen=True, slots=True)
class Turn:
    """What was last laid before a person."""

    staff: str
    conversation: str
    at: datetime
    preview: Any = None  #: what 送る would do
    choices: Any = None  #: what the digits mean
    undo: Any = None  #: what 取消 would take back


_GET: Final = Prepared(
    select(_T.c.staff, _T.c.conversation, _T.c.at, _T.c.preview, _T.c.choices, _T.c.undo).where(
        _T.c.staff == bindparam("staff")
    )
)
_KEEP: Final = Prepared(insert_or_update(_T, ("staff",), "conversation", "preview", "choices", "undo", "at"))
_SHOW: Final = Prepared(insert_or_update(_T, ("staff",), "conversation", "preview", "choices", "at"))
_CLEAR: Final = Prepared(delete(_T).where(_T.c.staff == bindparam("staff")))


def of(tx: Tx, staff: str) -> Turn | None:
    row = tx.execute(_GET, {"staff": staff}).first()
    if row is None:
        return None
    turn = Turn(*row)
    if not turn.preview or "shut" not in turn.preview:
        return turn
    preview, choices = seal.opened(tx.keys, turn.preview["shut"])
    return replace(turn, preview=preview, choices=choices)


def keep(tx: Tx, turn: Turn) -> None:
    """Replace what was laid before this person; without a new `undo` the earlier one stays."""
    row = {name: getattr(turn, name) for name in _NAMES}
    # They are somebody's own words, said again. A program from before reads what lies beside them.
    row |= {"preview": {"words": "", "shut": seal.shut(tx.keys, (turn.preview, turn.choices))}, "choices": []}
    tx.put(_SHOW if turn.undo is None else _KEEP, [row])


def clear(tx: Tx, staff: str) -> None:
    tx.put(_CLEAR, [{"staff": staff}])
