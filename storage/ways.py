"""Ways in: passkeys, authenticator apps and their recovery codes, what is asked at the door and answered once, wrong tries."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from storage import tables
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_new, insert_or_update

_S: Final = tables.staff
_K: Final = tables.passkeys
_A: Final = tables.authenticator_apps
_R: Final = tables.recovery_codes
_C: Final = tables.challenges
_T: Final = tables.tries

#: What is over is kept this long: a day of anybody's questions.
KEPT: Final = timedelta(days=1)
FORGOTTEN: Final = timedelta(days=8)

# Passkeys


@dataclass(frozen=True, slots=True)
class Passkey:
    """A key that a device keeps; only what proves it is here."""

    id: str  #: base64url
    staff: str
    public_key: bytes
    sign_count: int
    name: str
    made_at: datetime
    used_at: datetime | None


_PASSKEY: Final = select(_K.c.id, _K.c.staff, _K.c.public_key, _K.c.sign_count, _K.c.name, _K.c.made_at, _K.c.used_at)
_LIVE: Final = _K.c.removed_at.is_(None)
_NEW_PASSKEY: Final = Prepared(insert_new(_K, _K.c.id))
_ONE_PASSKEY: Final = Prepared(
    _PASSKEY.join(_S, _S.c.code == _K.c.staff).where(_K.c.id == bindparam("id"), _LIVE, _S.c.active == 1)
)
_PASSKEYS_OF: Final = Prepared(_PASSKEY.where(_K.c.staff == bindparam("staff"), _LIVE).order_by(_K.c.made_at, _K.c.id))
_PASSKEY_USED: Final = Prepared(
    update(_K).where(_K.c.id == bindparam("of_id"), _K.c.sign_count == bindparam("before"), _LIVE)
)
_PASSKEY_GOES: Final = Prepared(
    update(_K).where(_K.c.id == bindparam("of_id"), _K.c.staff == bindparam("of_staff"), _LIVE)
)


def add_passkey(tx: Tx, key: Passkey) -> bool:
    """Keep a key; False when one of this id has been kept before (also one that was removed since)."""
    row = {
        "id": key.id, "staff": key.staff, "public_key": key.public_key, "sign_count": key.sign_count, "name": key.name,
        "made_at": key.made_at, "used_at": None, "removed_at": None,
    }  # fmt: skip
    return tx.execute(_NEW_PASSKEY, row).first() is not None


def passkey(tx: Tx, id: str) -> Passkey | None:
    """Find a key that was not removed, of somebody who is in the town."""
    row = tx.execute(_ONE_PASSKEY, {"id": id}).first()
    return Passkey(*row) if row else None


def passkeys_of(tx: Tx, staff: str) -> list[Passkey]:
    return [Passkey(*row) for row in tx.execute(_PASSKEYS_OF, {"staff": staff})]


def passkey_used(tx: Tx, key: Passkey, sign_count: int, at: datetime) -> bool:
    """Count a use on; False when the key was removed or used elsewhere in between."""
    given = {"of_id": key.id, "before": key.sign_count, "sign_count": sign_count, "used_at": at}
    return tx.execute(_PASSKEY_USED, given).rowcount == 1


def remove_passkey(tx: Tx, id: str, staff: str, at: datetime) -> bool:
    """Take one's own key away; False when there is none."""
    return tx.execute(_PASSKEY_GOES, {"of_id": id, "of_staff": staff, "removed_at": at}).rowcount == 1


# Authenticator apps


@dataclass(frozen=True, slots=True)
class App:
    """Somebody's authenticator app; before its first digits were right it opens nothing."""

    staff: str
    sealed: bytes
    made_at: datetime
    confirmed_at: datetime | None
    last_step: int


_PUT_APP: Final = Prepared(
    insert_or_update(
        _A, ("staff",), "sealed", "made_at", "confirmed_at", "last_step", where=_A.c.confirmed_at.is_(None)
    )
)
_APP: Final = Prepared(
    select(_A.c.staff, _A.c.sealed, _A.c.made_at, _A.c.confirmed_at, _A.c.last_step).where(
        _A.c.staff == bindparam("staff")
    )
)
_STEP: Final = Prepared(
    update(_A)
    .where(_A.c.staff == bindparam("of_staff"), _A.c.last_step < bindparam("than"))
    .values(
        last_step=bindparam("than"),
        confirmed_at=func.coalesce(_A.c.confirmed_at, bindparam("now", type_=tables.Moment())),
    )
)
_APP_GOES: Final = Prepared(delete(_A).where(_A.c.staff == bindparam("staff")))


def put_app(tx: Tx, staff: str, sealed: bytes, at: datetime) -> None:
    """Keep a sealed secret that waits for its first digits; one that is in use already stays."""
    tx.execute(_PUT_APP, {"staff": staff, "sealed": sealed, "made_at": at, "confirmed_at": None, "last_step": 0})


def app(tx: Tx, staff: str) -> App | None:
    row = tx.execute(_APP, {"staff": staff}).first()
    return App(*row) if row else None


def take_step(tx: Tx, staff: str, step: int, at: datetime) -> bool:
    """Use a step up, and all before it; the first confirms the app. False when it was used already, by whomever."""
    return tx.execute(_STEP, {"of_staff": staff, "than": step, "now": at}).rowcount == 1


def remove_app(tx: Tx, staff: str) -> bool:
    return tx.execute(_APP_GOES, {"staff": staff}).rowcount == 1


_NEW_RECOVERY: Final = Prepared(insert(_R))
_RECOVERY_GOES: Final = Prepared(delete(_R).where(_R.c.staff == bindparam("staff")))
_RECOVERY_LEFT: Final = Prepared(
    select(_R.c.hash).where(_R.c.staff == bindparam("staff"), _R.c.used_at.is_(None)).order_by(_R.c.hash)
)
_USE_RECOVERY: Final = Prepared(
    update(_R).where(_R.c.hash == bindparam("of_hash"), _R.c.staff == bindparam("of_staff"), _R.c.used_at.is_(None))
)


def put_recovery(tx: Tx, staff: str, hashes: list[str], at: datetime) -> None:
    """Keep the hashes of new recovery codes; those before them end."""
    tx.execute(_RECOVERY_GOES, {"staff": staff})
    if hashes:
        tx.execute(_NEW_RECOVERY, [{"hash": one, "staff": staff, "made_at": at, "used_at": None} for one in hashes])


def recovery_left(tx: Tx, staff: str) -> int:
    return len(tx.execute(_RECOVERY_LEFT, {"staff": staff}).all())


def use_recovery(tx: Tx, staff: str, hash: str, at: datetime) -> bool:
    """Use a recovery code up; False when it is none of this person's, or used."""
    return tx.execute(_USE_RECOVERY, {"of_hash": hash, "of_staff": staff, "used_at": at}).rowcount == 1


# What is asked once


class Challenge(NamedTuple):
    hash: str
    kind: str  #: passkey | register | letter | link | oidc
    staff: str | None
    doc: dict[str, Any]
    tries: int


_ASK: Final = Prepared(insert(_C))
_OVER: Final = Prepared(delete(_C).where(_C.c.expires < bindparam("before")))
_OPEN: Final = (
    _C.c.hash == bindparam("of_hash"), _C.c.kind == bindparam("of_kind"), _C.c.used_at.is_(None), _C.c.expires > bindparam("now"),
)  # fmt: skip
_CHALLENGE: Final = (_C.c.hash, _C.c.kind, _C.c.staff, _C.c.doc, _C.c.tries)
_PEEK: Final = Prepared(select(*_CHALLENGE).where(*_OPEN))
_TRY: Final = Prepared(update(_C).where(*_OPEN).values(tries=_C.c.tries + 1).returning(*_CHALLENGE))
_ANSWER: Final = Prepared(update(_C).where(*_OPEN).values(used_at=bindparam("now")).returning(*_CHALLENGE))
_SPEND: Final = Prepared(
    update(_C).where(
        _C.c.staff == bindparam("of_staff"),
        _C.c.used_at.is_(None),
        _C.c.kind.in_((tables.constant("letter"), tables.constant("link"))),
    )
)  # fmt: skip


def ask(tx: Tx, hash: str, kind: str, staff: str | None, doc: dict[str, Any], at: datetime, expires: datetime) -> None:
    """Keep what was asked; of what is long over nothing is kept."""
    tx.execute(_OVER, {"before": at - KEPT})
    row = {"hash": hash, "kind": kind, "staff": staff, "doc": doc, "tries": 0, "made_at": at, "expires": expires}
    tx.execute(_ASK, row | {"used_at": None})


def peek(tx: Tx, hash: str, kind: str, now: datetime) -> Challenge | None:
    """Look at an open question."""
    row = tx.execute(_PEEK, {"of_hash": hash, "of_kind": kind, "now": now}).first()
    return Challenge(*row) if row else None


def count_try(tx: Tx, hash: str, kind: str, now: datetime) -> Challenge | None:
    """Count a try of an answer, before it is looked at; None: there is nothing open to answer."""
    row = tx.execute(_TRY, {"of_hash": hash, "of_kind": kind, "now": now}).first()
    return Challenge(*row) if row else None


def answer(tx: Tx, hash: str, kind: str, now: datetime) -> Challenge | None:
    """Close a question for good; None when it was closed, is too old or never was."""
    row = tx.execute(_ANSWER, {"of_hash": hash, "of_kind": kind, "now": now}).first()
    return Challenge(*row) if row else None


def spend_letters(tx: Tx, staff: str, at: datetime) -> None:
    """Who has come in by one letter has no use for the others."""
    tx.execute(_SPEND, {"of_staff": staff, "used_at": at})


# Wrong tries


class Lane(NamedTuple):
    tries: int
    at: datetime
    free_at: datetime


#: It is there and ours, whoever made it: rows that are not there cannot be locked.
_LANE: Final = Prepared({
    name: statement.on_conflict_do_update(index_elements=["lane"], set_={"lane": _T.c.lane}).returning(
        _T.c.count, _T.c.at, _T.c.free_at
    )
    for name, statement in (("sqlite", sqlite.insert(_T)), ("postgresql", postgresql.insert(_T)))
})  # fmt: skip
_SET_LANE: Final = Prepared(update(_T).where(_T.c.lane == bindparam("of_lane")))
_OLD_LANES: Final = Prepared(delete(_T).where(_T.c.at < bindparam("before"), _T.c.lane != bindparam("but")))


def lane(tx: Tx, name: str, at: datetime) -> Lane:
    """Take hold of a lane until the commit: tries in it are judged one after another, in every process."""
    row = tx.execute(_LANE, {"lane": name, "count": 0, "at": at, "free_at": at}).one()
    return Lane(*row)


def set_lane(tx: Tx, name: str, now: Lane) -> None:
    tx.execute(_SET_LANE, {"of_lane": name, "count": now.tries, "at": now.at, "free_at": now.free_at})


def forget_lanes(tx: Tx, at: datetime, but: str) -> None:
    """Leave nothing behind of who has not tried for days."""
    tx.execute(_OLD_LANES, {"before": at - FORGOTTEN, "but": but})
