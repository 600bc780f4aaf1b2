"""The pace of conversations outside: from when on each takes another message. Rows: every process keeps it, and after a start too."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select

from storage import tables
from storage.prepared import Prepared
from storage.store import Tx
from storage.upsert import insert_or_update

_P: Final = tables.paces

_KEYS: Final = ("surface", "conversation")
_TAKE: Final = Prepared(
    insert_or_update(
        _P, _KEYS, "free_at", where=_P.c.free_at <= bindparam("now", type_=tables.Moment()), returning=(_P.c.surface,)
    )
)
_HOLD: Final = Prepared(insert_or_update(_P, _KEYS, "free_at", newer="free_at"))
_FREE_AT: Final = Prepared(
    select(_P.c.free_at).where(_P.c.surface == bindparam("surface"), _P.c.conversation == bindparam("conversation"))
)


def take(tx: Tx, surface: str, conversation: str, now: datetime, until: datetime) -> bool:
    """Take a conversation for one message until a moment; False while it is not free."""
    row = {"surface": surface, "conversation": conversation, "free_at": until, "now": now}
    return tx.execute(_TAKE, row).first() is not None


def hold(tx: Tx, surface: str, conversation: str, until: datetime) -> None:
    """Send nothing more there before a moment; an earlier one changes nothing."""
    tx.execute(_HOLD, {"surface": surface, "conversation": conversation, "free_at": until})


def free_at(tx: Tx, surface: str, conversation: str) -> datetime | None:
    """From when on it takes another message; None: nothing has gone there yet."""
    found: datetime | None = tx.execute(_FREE_AT, {"surface": surface, "conversation": conversation}).scalar()
    return found
