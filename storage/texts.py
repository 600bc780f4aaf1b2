"""Free text, sealed under its household's key: the only place of a person's story. The journal holds id and digest."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update

from storage import seal, tables
from storage.prepared import Prepared
from storage.tx import Tx

_T: Final = tables.texts
_H: Final = tables.households

_NEW_HOUSEHOLD: Final = Prepared(insert(_H))
_KEY: Final = Prepared(select(_H.c.key).where(_H.c.id == bindparam("household")))
_KEY_LOCKED: Final = Prepared(select(_H.c.key).where(_H.c.id == bindparam("household")).with_for_update())
_INSERT: Final = Prepared(insert(_T).returning(_T.c.id))
_GET: Final = Prepared(
    select(_T.c.sealed, _T.c.household, _H.c.key)
    .select_from(_T.outerjoin(_H, _H.c.id == _T.c.household))
    .where(_T.c.id == bindparam("text"))
)
_SEVERAL: Final = (
    select(_T.c.id, _T.c.sealed, _T.c.household, _H.c.key)
    .select_from(_T.outerjoin(_H, _H.c.id == _T.c.household))
    .where(_T.c.id.in_(bindparam("texts", expanding=True)))
)
_FORGET: Final = Prepared(update(_H).where(_H.c.id == bindparam("of_household")).values(key=None, hash=None))
_NAMELESS: Final = delete(tables.person_hashes).where(
    tables.person_hashes.c.person.in_(
        select(tables.persons.c.id).where(tables.persons.c.household == bindparam("of_household"))
    )
)


class Forgotten(Exception):
    """This household's key has been destroyed: nothing can be written about it."""

    def __init__(self) -> None:
        super().__init__("This household's key has been destroyed: nothing can be written about it.")


def open_household(tx: Tx, household: int) -> None:
    """Begin a household with a key of its own."""
    wrapped = tx.keys.wrap(seal.new_key(), household)
    tx.execute(_NEW_HOUSEHOLD, {"id": household, "key": wrapped, "hash": None})


def put(tx: Tx, household: int | None, text: str, by: str, at: datetime) -> tuple[int, str]:
    """Seal words and answer (id, digest); without a household they are colleagues' words among themselves."""
    sealed = tx.keys.seal_room(text) if household is None else seal.seal(household_key(tx, household), text)
    digest = seal.digest(sealed)
    row = {"household": household, "sealed": sealed, "digest": digest, "at": at, "by": by}
    return int(tx.execute(_INSERT, row).scalar_one()), digest


def get(tx: Tx, id: int) -> str | None:
    """Open sealed words; None when there are none or their key is gone."""
    row = tx.execute(_GET, {"text": id}).first()
    return None if row is None else _open(tx, *row)


def get_several(tx: Tx, ids: list[int]) -> dict[int, str]:
    """Open several; those that do not open are missing."""
    rows = tx.execute(_SEVERAL, {"texts": ids})
    opened = {id_: _open(tx, sealed, household, wrapped) for id_, sealed, household, wrapped in rows}
    return {id_: words for id_, words in opened.items() if words is not None}


def forgotten(tx: Tx, household: int, *, lock: bool = False) -> bool:
    """Say whether a household's key was destroyed; with `lock` it stays so until the commit."""
    return tx.execute(_KEY_LOCKED if lock else _KEY, {"household": household}).scalar_one() is None


def forget(tx: Tx, household: int) -> None:
    """Destroy a household's key: texts and persons stay sealed for ever, no hash finds anybody, the journal's chain stays whole."""
    tx.execute(_FORGET, {"of_household": household})
    tx.execute(_NAMELESS, {"of_household": household})


def household_key(tx: Tx, household: int) -> bytes:
    """A household's own key, unwrapped. Raises Forgotten."""
    wrapped = tx.execute(_KEY, {"household": household}).scalar_one()
    if wrapped is None:
        raise Forgotten
    return tx.keys.unwrap(wrapped, household)


def _open(tx: Tx, sealed: bytes, household: int | None, wrapped: bytes | None) -> str | None:
    if household is None:
        return tx.keys.open_room(sealed)
    if wrapped is None:
        return None
    return seal.unseal(tx.keys.unwrap(wrapped, household), sealed)
