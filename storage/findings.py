"""Findings: what the auditor has found, since when, whom it was told, whether it is gone; and how far it has looked."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import bindparam, func, select, update

from storage import tables
from storage.prepared import Prepared
from storage.promises import Found
from storage.tx import Tx
from storage.upsert import insert_or_update

_F: Final = tables.findings
_A: Final = tables.audits
_C: Final = tables.cases

_STANDS: Final = _F.c.gone_at.is_(None)
_ROWS: Final = select(
    _F.c.kind, _F.c.key, _F.c.case_id, _C.c.number, _F.c.first_seen, _F.c.last_seen, _F.c.told_at, _F.c.repaired_at, _F.c.gone_at
).select_from(_F.outerjoin(_C, _C.c.id == _F.c.case_id))  # fmt: skip
_ORDER: Final = (_F.c.first_seen, _F.c.kind, _F.c.key)
_OPEN: Final = Prepared(_ROWS.where(_STANDS).order_by(*_ORDER))
_GONE: Final = Prepared(_ROWS.where(_F.c.gone_at >= bindparam("since")).order_by(_F.c.gone_at.desc()).limit(20))
_UNTOLD: Final = Prepared(_ROWS.where(_F.c.told_at.is_(None)).order_by(*_ORDER))
_COUNT: Final = Prepared(select(_F.c.kind, func.count()).where(_STANDS).group_by(_F.c.kind))
#: What another process has begun at the same moment stands as it is.
_BEGIN: Final = Prepared(
    insert_or_update(
        _F,
        ("kind", "key"),
        "case_id",
        "first_seen",
        "last_seen",
        "told_at",
        "repaired_at",
        "gone_at",
        where=_F.c.gone_at.is_not(None),
    )
)
_THIS: Final = (_F.c.kind == bindparam("of_kind"), _F.c.key == bindparam("of_key"))
_SEEN: Final = Prepared(update(_F).where(*_THIS).values(last_seen=bindparam("at")))
_GO: Final = Prepared(update(_F).where(*_THIS, _STANDS).values(gone_at=bindparam("at")))
_TELL: Final = Prepared(update(_F).where(*_THIS, _F.c.told_at.is_(None)).values(told_at=bindparam("at")))
_REPAIR: Final = Prepared(update(_F).where(*_THIS, _F.c.repaired_at.is_(None)).values(repaired_at=bindparam("at")))
_TOLD: Final = Prepared(select(_F.c.key).where(_F.c.kind == bindparam("of_kind"), _F.c.told_at >= bindparam("since")))
_ALONE: Final = Prepared(select(tables.municipality.c.id).with_for_update())
_AUDIT: Final = Prepared(select(_A.c.at, _A.c.line, _A.c.before).where(_A.c.id == 1))
_ENDED: Final = Prepared(insert_or_update(_A, ("id",), "at", "line", "before"))


class Finding(NamedTuple):
    """One episode of something that ought not to be."""

    kind: str
    key: str
    case_id: int | None
    number: str | None
    first_seen: datetime
    last_seen: datetime
    told_at: datetime | None
    repaired_at: datetime | None
    gone_at: datetime | None


class Audit(NamedTuple):
    """The last audit that was finished, and up to which line of the journal it and the one before it had looked."""

    at: datetime
    line: int
    before: int


def keep(tx: Tx, found: Iterable[Found], kinds: Collection[str], at: datetime) -> None:
    """Write down all that was found of some kinds; what stood before and was not found again is gone.

    What comes back after it was gone is a new episode: told again, repaired again.
    """
    stood = {(one.kind, one.key) for one in standing(tx) if one.kind in kinds}
    now = {(one.kind, one.key): one for one in found}
    fresh = [_begun(one, at) for key, one in now.items() if key not in stood]
    if fresh:
        tx.execute(_BEGIN, fresh)
    for statement, keys in ((_SEEN, stood & now.keys()), (_GO, stood - now.keys())):
        if rows := [{"of_kind": kind, "of_key": key, "at": at} for kind, key in sorted(keys)]:
            tx.execute(statement, rows)


def standing(tx: Tx) -> list[Finding]:
    """List what is so now, the longest first."""
    return [Finding(*row) for row in tx.execute(_OPEN)]


def gone(tx: Tx, since: datetime) -> list[Finding]:
    """List what is over since a moment, the newest first, the last few alone."""
    return [Finding(*row) for row in tx.execute(_GONE, {"since": since})]


def count(tx: Tx) -> dict[str, int]:
    """Count what is so now, by kind."""
    return dict(map(tuple, tx.execute(_COUNT)))


def untold(tx: Tx) -> list[Finding]:
    """List what nobody was told of, also what is over already."""
    return [Finding(*row) for row in tx.execute(_UNTOLD)]


def tell(tx: Tx, one: Finding, at: datetime) -> bool:
    """Note that a human is told; False when another process was faster."""
    return tx.execute(_TELL, {"of_kind": one.kind, "of_key": one.key, "at": at}).rowcount == 1


def repair(tx: Tx, one: Finding, at: datetime) -> bool:
    """Note that this is being repaired, which is done once; False when it has been."""
    return tx.execute(_REPAIR, {"of_kind": one.kind, "of_key": one.key, "at": at}).rowcount == 1


def last_audit(tx: Tx) -> Audit | None:
    row = tx.execute(_AUDIT).first()
    return None if row is None else Audit(*row)


def ended(tx: Tx, at: datetime, line: int, before: int) -> None:
    """Note that an audit has ended, and up to which line of the journal it has looked."""
    tx.execute(_ENDED, {"id": 1, "at": at, "line": line, "before": before})


def begin(tx: Tx, one: Found, since: datetime, told: datetime | None) -> None:
    """Write down a new episode of something, which a human may have been told of already."""
    tx.execute(_BEGIN, _begun(one, since) | {"told_at": told})


def go(tx: Tx, one: Finding, at: datetime) -> None:
    """Note that something is over."""
    tx.execute(_GO, {"of_kind": one.kind, "of_key": one.key, "at": at})


def told_since(tx: Tx, kind: str, since: datetime) -> bool:
    """Say whether anybody was told of something of this kind since a moment."""
    return tx.execute(_TOLD, {"of_kind": kind, "since": since}).first() is not None


def alone(tx: Tx) -> None:
    """Wait until no other transaction is here."""
    tx.execute(_ALONE)


def _begun(one: Found, at: datetime) -> dict[str, object]:
    return {
        "kind": one.kind, "key": one.key, "case_id": one.case_id, "first_seen": at, "last_seen": at, "told_at": None,
        "repaired_at": None, "gone_at": None,
    }  # fmt: skip
