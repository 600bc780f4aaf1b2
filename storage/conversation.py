"""One person's reading of one room of the web chat: its letters, what was said there, and what is new."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select

from storage import tables, texts
from storage.letters import LetterRow, of_row
from storage.prepared import Prepared
from storage.rooms import Post
from storage.tx import Tx

_L: Final = tables.letters
_P: Final = tables.room_posts
_I: Final = tables.inbox
_T: Final = tables.texts
_LETTER: Final = tuple(_L.c[f.name] for f in fields(LetterRow))
_SHOWN: Final = and_(_L.c.surface == "web", _L.c.state != "superseded")

_SAID: Final = select(_I.c.id, _I.c.text, _I.c.conversation, _I.c.speaker, _I.c.received_at, _I.c.kind, _I.c.doc).where(
    _I.c.id.in_(bindparam("ids", expanding=True))
)
_NEWEST_LETTER: Final = Prepared(select(_L.c.id).order_by(_L.c.id.desc()).limit(1))
_NEWEST_POST: Final = Prepared(select(_P.c.id).order_by(_P.c.id.desc()).limit(1))
_ABOUT: Final = (
    select(_T.c.id, _T.c.by, _T.c.at).where(_T.c.id.in_(bindparam("texts", expanding=True))).order_by(_T.c.id.desc())
)


class Said(NamedTuple):
    """Words of one's own, or a button pressed, as they came in."""

    words: str
    conversation: str
    speaker: str | None
    at: datetime
    pressed: bool


class Written(NamedTuple):
    """A sealed text about a household, opened."""

    id: int
    by: str
    at: datetime
    words: str


def _here(staff: str, room: str | None) -> ColumnElement[bool]:
    """What one person reads in a room (None: their own); somebody else's answer stays theirs."""
    if room is None:
        return and_(_L.c.to_staff == staff, _L.c.to_room.is_(None))
    return and_(_L.c.to_room == room, or_(~_L.c.answer, _L.c.by_staff == staff))


def letters(tx: Tx, staff: str, room: str | None, limit: int, before: int | None = None) -> list[LetterRow]:
    """Read the last letters of a room, the oldest first; with `before` those that came before a letter or post."""
    found = select(*_LETTER).where(_here(staff, room), _SHOWN)
    if before is not None:
        found = found.where(_L.c.id < before)
    return [of_row(tx, row) for row in tx.execute(found.order_by(_L.c.id.desc()).limit(limit))][::-1]


def posts(tx: Tx, room: str, limit: int, before: int | None = None) -> list[Post]:
    """Read the last words that colleagues wrote in a room, the oldest first."""
    found = select(_P.c.id, _P.c.room, _P.c.by_staff, _P.c.text, _P.c.at).where(_P.c.room == room)
    if before is not None:
        found = found.where(_P.c.id < before)
    rows = tx.execute(found.order_by(_P.c.id.desc()).limit(limit)).all()
    words = texts.get_several(tx, [row.text for row in rows])
    return [Post(i, place, by, words[text], when) for i, place, by, text, when in reversed(rows) if text in words]


def said(tx: Tx, inbox_ids: Iterable[int]) -> dict[int, Said]:
    """Open the words behind answers, by their place in the inbox; a button's are codes, kept as they are."""
    rows = tx.execute(_SAID, {"ids": list(inbox_ids)}).all()
    words = texts.get_several(tx, [row.text for row in rows if row.text is not None])
    return {
        id_: Said(words.get(text or 0) or doc.get("says", ""), conversation, speaker, when, kind == "press")
        for id_, text, conversation, speaker, when, kind, doc in rows
    }


def answers(tx: Tx, staff: str, since: datetime, limit: int = 12) -> list[LetterRow]:
    """Read somebody's newest answers since a moment, the newest first."""
    found = select(*_LETTER).where(_L.c.to_staff == staff, _L.c.answer, _L.c.created_at >= since, _SHOWN)
    return [of_row(tx, row) for row in tx.execute(found.order_by(_L.c.id.desc()).limit(limit))]


def unread_posts(tx: Tx, staff: str, rooms: Sequence[str], seen: dict[str, int]) -> dict[str, int]:
    """Count what colleagues have written in each room since it was last read."""
    counted: dict[str, int] = {}
    for room in rooms:
        found = select(func.count()).where(_P.c.room == room, _P.c.id > seen.get(room, 0), _P.c.by_staff != staff)
        if number := int(tx.execute(found).scalar_one()):
            counted[room] = number
    return counted


def pulse(tx: Tx) -> tuple[int, int]:
    """Read what grows whenever something new may be read: the newest letter and the newest post."""
    return int(tx.execute(_NEWEST_LETTER).scalar() or 0), int(tx.execute(_NEWEST_POST).scalar() or 0)


def written(tx: Tx, ids: Iterable[int]) -> list[Written]:
    """Open sealed texts with who wrote them and when, the newest first."""
    rows: list[Any] = list(tx.execute(_ABOUT, {"texts": sorted(set(ids))}))
    words = texts.get_several(tx, [row.id for row in rows])
    return [Written(i, by, when, words[i]) for i, by, when in rows if i in words]
