"""The persons of a household: one sealed document each, found again through keyed hashes alone, which never leave this room."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import delete, func, insert, select, update

from storage import seal, tables
from storage.households import together
from storage.texts import household_key
from storage.tx import Tx
from workflow.household import SEALED, Person, Sign, signs_of

_P: Final = tables.persons
_N: Final = tables.person_hashes
_H: Final = tables.households


def add(tx: Tx, person: Person) -> Person:
    """Keep a new person at the end of their household. Raises Forgotten."""
    last = tx.execute(select(func.max(_P.c.ordinal)).where(_P.c.household == person.household)).scalar()
    person = person.become(ordinal=(last or 0) + 1)
    row = {
        "id": person.id, "household": person.household, "ordinal": person.ordinal, "sealed": _sealed(tx, person),
        "added_by": person.added_by, "added_at": person.added_at, "removed_at": None,
    }  # fmt: skip
    tx.execute(insert(_P), row)
    _name(tx, person)
    return person


def change(tx: Tx, person: Person) -> None:
    """Seal anew what is known of a person, who is found by that from now on. Raises Forgotten."""
    tx.execute(update(_P).where(_P.c.id == person.id).values(sealed=_sealed(tx, person)))
    _name(tx, person)


def remove(tx: Tx, person: int, at: datetime) -> bool:
    """Mark a person as no longer of the household; False: they were so already. What was sealed stays; they are found no more."""
    marked = tx.execute(update(_P).where(_P.c.id == person, _P.c.removed_at.is_(None)).values(removed_at=at)).rowcount
    tx.execute(delete(_N).where(_N.c.person == person))
    return bool(marked)


def of_households(tx: Tx, households: Iterable[int]) -> list[Person]:
    """Open everybody of some households, also who was removed, in their order; of one whose key is gone nobody."""
    found = (
        select(_P, _H.c.key)
        .join(_H, _H.c.id == _P.c.household)
        .where(_P.c.household.in_(list(households)), _H.c.key.is_not(None))
        .order_by(_P.c.household, _P.c.ordinal)
    )
    keys: dict[int, bytes] = {}
    return [_opened(tx, row, keys) for row in tx.execute(found)]


def same(tx: Tx, wanted: Iterable[Sign], *, but: Sequence[int] = ()) -> list[int]:
    """Find the households of whoever has one of these signs; with them those of a form from before there were persons."""
    hashes = _hashes(tx, wanted)
    if not hashes:
        return []
    of_persons = select(_P.c.household).join(_N, _N.c.person == _P.c.id).where(_N.c.hash.in_(hashes))
    of_forms = select(_H.c.id).where(_H.c.hash.in_(hashes))
    found = tx.execute(of_persons.union(of_forms)).scalars()
    return sorted(one for one in found if one not in but)


def same_as(tx: Tx, household: int) -> list[int]:
    """Find other households with somebody of the same name and birth date or contact as one of this household's."""
    ours = together(tx, household)
    strong = ("name_birth", "name_contact")
    mine = select(_N.c.hash).join(_P, _P.c.id == _N.c.person).where(_P.c.household.in_(ours), _N.c.kind.in_(strong))
    hashes = list(tx.execute(mine.distinct()).scalars())
    form = select(_H.c.hash).where(_H.c.id.in_(ours), _H.c.hash.is_not(None))
    hashes += list(tx.execute(form).scalars())
    if not hashes:
        return []
    of_persons = select(_P.c.household).join(_N, _N.c.person == _P.c.id).where(_N.c.hash.in_(hashes))
    of_forms = select(_H.c.id).where(_H.c.hash.in_(hashes))
    return sorted(one for one in tx.execute(of_persons.union(of_forms)).scalars() if one not in ours)


def _sealed(tx: Tx, person: Person) -> bytes:
    whole = orjson.dumps({name: getattr(person, name) for name in SEALED}).decode()
    return seal.seal(household_key(tx, person.household), whole, _about(person.id))


def _about(person: int) -> bytes:
    return b"person %d" % person


def _opened(tx: Tx, row: Any, keys: dict[int, bytes]) -> Person:
    key = keys.setdefault(row.household, tx.keys.unwrap(row.key, row.household))
    known = orjson.loads(seal.unseal(key, row.sealed, _about(row.id)))
    return Person(
        id=row.id, household=row.household, ordinal=row.ordinal, added_by=row.added_by, added_at=row.added_at,
        removed_at=row.removed_at, **known | {"contacts": tuple(known["contacts"])},
    )  # fmt: skip


def _name(tx: Tx, person: Person) -> None:
    tx.execute(delete(_N).where(_N.c.person == person.id))
    rows = {_hash(tx, sign): sign.kind for sign in sorted(signs_of(person))}
    if rows:
        tx.execute(insert(_N), [{"person": person.id, "hash": hash_, "kind": kind} for hash_, kind in rows.items()])


def _hashes(tx: Tx, wanted: Iterable[Sign]) -> list[str]:
    return sorted(_hash(tx, sign) for sign in wanted)


def _hash(tx: Tx, sign: Sign) -> str:
    return tx.keys.fingerprint(*sign.parts)
