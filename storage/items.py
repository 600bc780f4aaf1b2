"""What is known of a household, each piece with the basis on which it may be shared: opened only for who may see it now."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, insert, select, update

from storage import agreements, tables, texts
from storage.tx import Tx
from workflow.basis import SOURCES, Basis, Item, WhyNot, sight_of_item
from workflow.case import Case
from workflow.consent import KINDS
from workflow.people import Staff, Town

_I: Final = tables.items
_S: Final = tables.staff
_ITEM: Final = (
    select(_I, _S.c.agency.label("agency")).select_from(_I.outerjoin(_S, _S.c.code == _I.c.by)).order_by(_I.c.id)
)


class Seen(NamedTuple):
    """An item that a reader may see, the basis that allows it, and its words."""

    item: Item
    basis: Basis
    words: str


class Shelf(NamedTuple):
    """What a reader finds of a case, the newest first."""

    shown: list[Seen]
    held: Mapping[WhyNot, int]  #: how many are held back, of those whose being there the reader may know
    unknown: frozenset[int]  #: ids of those whose being there the reader may not know


def add(
    tx: Tx, household: int, case: int | None, kind: str, text: int, basis: str, by: str, at: datetime, *,
    person: int | None = None, conference: int | None = None, agencies: tuple[str, ...] | None = None, source: str = "person",
) -> int:  # fmt: skip
    """Keep one item whose words are the sealed text `text`; answer its id.

    Raises ValueError for a kind, basis or source that is none, and for 106条の6 without its conference: nobody could read it.
    """
    known = kind in KINDS and basis in set(Basis) and source in SOURCES
    if not known or (basis == Basis.ART106_6 and conference is None):
        raise ValueError(f"no such item: {kind} {basis} {source}")
    row = {
        "household": household, "case_id": case, "kind": kind, "text": text, "basis": basis, "by": by, "at": at, "person": person,
        "conference": conference, "agencies": None if agencies is None else list(agencies), "source": source, "was": [],
    }  # fmt: skip
    return int(tx.execute(insert(_I).returning(_I.c.id), row).scalar_one())


def of_case(tx: Tx, case: int) -> list[Item]:
    """List a case's items, the oldest first. What they say is not opened: that is `shelf`'s."""
    return _items(tx, _ITEM.where(_I.c.case_id == case))


def of_household(tx: Tx, household: int) -> list[Item]:
    """List all items of a household, the oldest first, for whoever judges what the person gets of it (開示請求)."""
    return _items(tx, _ITEM.where(_I.c.household == household))


def of_conference(tx: Tx, conference: int) -> list[Item]:
    """List what was learned in a conference, the oldest first; who may read it the caller has asked."""
    return _items(tx, _ITEM.where(_I.c.conference == conference))


def reclassify(tx: Tx, item: int, basis: str, by: str, at: datetime, agencies: tuple[str, ...] | None) -> bool:
    """Give one item another basis and keep the earlier one; False: there is none, or somebody was faster."""
    old = tx.execute(select(_I.c.basis, _I.c.was).where(_I.c.id == item)).first()
    if old is None:
        return False
    before = {"basis": old.basis, "by": by, "at": at.isoformat()}
    changed = (
        update(_I)
        .where(_I.c.id == item, _I.c.basis == old.basis, _I.c.was == old.was)
        .values(basis=basis, agencies=None if agencies is None else list(agencies), was=[*old.was, before])
    )
    return bool(tx.execute(changed).rowcount)


def shelf(tx: Tx, reader: Staff, case: Case, town: Town, at: datetime, member_of: frozenset[int]) -> Shelf:
    """Open what this reader may see of a case and its household's earlier ones: judged in the transaction that reads (I8, I9)."""
    given = agreements.of_case(tx, case.id)
    sights = [
        (item, sight_of_item(item, reader, case, given, member_of, town, at))
        for item in _items(tx, _ITEM.where(_I.c.household == case.household))
    ]
    words = texts.get_several(tx, [item.text for item, sight in sights if isinstance(sight, Basis)])
    shown = [Seen(item, sight, words[item.text]) for item, sight in reversed(sights)
             if isinstance(sight, Basis) and item.text in words]  # fmt: skip
    held = Counter(sight for _, sight in sights if isinstance(sight, WhyNot) and sight.told)
    unknown = frozenset(item.id for item, sight in sights if isinstance(sight, WhyNot) and not sight.told)
    return Shelf(shown, held, unknown)


def _items(tx: Tx, wanted: Select[Any]) -> list[Item]:
    return [
        Item(
            id=row.id, household=row.household, case=row.case_id, kind=row.kind, text=row.text, basis=row.basis, by=row.by,
            at=row.at, agency=row.agency or "", person=row.person, conference=row.conference,
            agencies=None if row.agencies is None else tuple(row.agencies), source=row.source, was=tuple(row.was),
        )
        for row in tx.execute(wanted)
    ]  # fmt: skip
