"""What lies under an older master key, sealed anew under the current one: a small batch a transaction, so that nobody waits.

Whoever seals a thing under a master of storage/seal.py adds it here: a household's key (`households`), words that belong to no
household (`texts`), the secrets of authenticator apps, what is shut inside a document (`letters`, `turns`). Letters of the door
are left out: they are over in ten minutes. A row that somebody else changes meanwhile is left as it is; another look finds it.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    false,
    func,
    literal,
    not_,
    select,
    text,
    true,
    type_coerce,
    update,
)

from storage import seal, tables
from storage.keyfile import MARK_BYTES
from storage.tx import Tx

BATCH: Final = 200  #: rows a transaction
#: In a document: what is shut in it.
SHUT: Final = "shut"
_BEGINS: Final = f'"{SHUT}":"'

_H: Final = tables.households
_T: Final = tables.texts
_A: Final = tables.authenticator_apps


class Step(NamedTuple):
    """What a batch did: the last key it has looked at (None: there are no more), how many it sealed anew, and what did not open."""

    last: Any
    done: int
    shut: int


#: Looks at a batch behind a key (None: from the beginning).
Batch: TypeAlias = Callable[[Any, Tx], Step]


class _Kind(NamedTuple):
    """One column that a master seals."""

    table: Table
    key: ColumnElement[Any]
    sealed: ColumnElement[Any]
    only: ColumnElement[bool]  #: of the table's rows
    anew: Callable[[Tx, Any, Any], dict[str, Any]]  #: (key, sealed) → the columns as they become; raises WrongKey


def _household(tx: Tx, id: int, wrapped: bytes) -> dict[str, Any]:
    return {"key": tx.keys.wrap(tx.keys.unwrap(wrapped, id), id)}


def _words(tx: Tx, _id: int, sealed: bytes) -> dict[str, Any]:
    """Nothing of the journal points to words of no household, so that their digest may go along."""
    fresh = tx.keys.seal_room(tx.keys.open_room(sealed))
    return {"sealed": fresh, "digest": seal.digest(fresh)}


def _secret(tx: Tx, _staff: str, sealed: bytes) -> dict[str, Any]:
    return {"sealed": tx.keys.seal_room(tx.keys.open_room(sealed))}


def _shut(column: str) -> Callable[[Tx, Any, str], dict[str, Any]]:
    """Of a document the part that is shut (storage/seal.py)."""

    def anew(tx: Tx, _id: Any, read: str) -> dict[str, Any]:
        doc = orjson.loads(read)
        return {column: doc | {SHUT: seal.shut(tx.keys, seal.opened(tx.keys, doc[SHUT]))}}

    return anew


def _document(table: Table, key: str, column: str) -> _Kind:
    text_ = type_coerce(table.c[column], Text)
    return _Kind(table, table.c[key], text_, text_.contains(_BEGINS), _shut(column))


KINDS: Final = {
    "households": _Kind(_H, _H.c.id, _H.c.key, _H.c.key.is_not(None), _household),
    "texts": _Kind(_T, _T.c.id, _T.c.sealed, _T.c.household.is_(None), _words),
    "authenticator_apps": _Kind(_A, _A.c.staff, _A.c.sealed, true(), _secret),
    "letters": _document(tables.letters, "id", "doc"),
    "turns": _document(tables.turns, "staff", "preview"),
}


def left(tx: Tx) -> dict[str, int]:
    """Count by table what does not lie under the current key."""
    return {
        name: int(tx.execute(select(func.count()).where(one.only, _older(one, tx.keys.mark))).scalar_one())
        for name, one in KINDS.items()
    }


def hold_still(tx: Tx) -> None:
    """Let whoever is writing finish, and nobody begin before the commit. (SQLite has one writer.)"""
    if tx.dialect == "postgresql":
        tx.execute(text(f"LOCK TABLE {', '.join(KINDS)} IN SHARE MODE"))


def batch(name: str) -> Batch:
    """Seal some of a table's rows anew, in the order of their key."""
    kind = KINDS[name]
    found = select(kind.key, kind.sealed).where(kind.only).order_by(kind.key).limit(BATCH)

    def step(after: Any, tx: Tx) -> Step:
        behind = () if after is None else (kind.key > after,)
        rows = tx.execute(found.where(_older(kind, tx.keys.mark), *behind)).all()
        done = shut = 0
        for key, sealed in rows:
            try:
                anew = kind.anew(tx, key, sealed)
            except seal.WrongKey:
                shut += 1
                continue
            as_read = kind.sealed == literal(sealed, kind.sealed.type)
            done += tx.execute(update(kind.table).where(kind.key == key, as_read).values(**anew)).rowcount
        return Step(rows[-1][0] if len(rows) == BATCH else None, done, shut)

    return step


def _older(kind: _Kind, mark: bytes) -> ColumnElement[bool]:
    """Rows that do not begin with the current mark. (The first key of a town has none, and then nothing is older.)"""
    if not mark:
        return false()
    if isinstance(kind.sealed.type, Text):
        begins = b64encode(mark).decode()[: MARK_BYTES * 8 // 6]
        return not_(kind.sealed.contains(_BEGINS + begins))
    return func.substr(kind.sealed, 1, MARK_BYTES, type_=LargeBinary) != literal(mark, LargeBinary)
