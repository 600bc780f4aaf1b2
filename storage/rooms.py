"""What colleagues write to each other in an agency's room of the web chat."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import insert, select

from storage import tables, texts
from storage.prepared import Prepared
from storage.tx import Tx

_T: Final = tables.room_posts
_INSERT: Final = Prepared(insert(_T))


class Post(NamedTuple):
    id: int
    room: str
    by_staff: str
    words: str
    at: datetime


def post(tx: Tx, id: int, room: str, by: str, words: str, at: datetime) -> None:
    """Keep words for a room, sealed."""
    text, _ = texts.put(tx, None, words, by, at)
    tx.execute(_INSERT, {"id": id, "room": room, "by_staff": by, "text": text, "at": at})


def posts(tx: Tx, rooms: Sequence[str], after: int = 0, limit: int = 100, *, latest: bool = False) -> list[Post]:
    """List what was written in rooms after a post, oldest first; `latest` takes the last `limit` instead."""
    found = select(_T.c.id, _T.c.room, _T.c.by_staff, _T.c.text, _T.c.at).where(
        _T.c.room.in_(list(rooms)), _T.c.id > after
    )
    rows = tx.execute(found.order_by(_T.c.id.desc() if latest else _T.c.id).limit(limit)).all()
    words = texts.get_several(tx, [row.text for row in rows])
    kept = [Post(id_, room, by, words[text], at) for id_, room, by, text, at in rows if text in words]
    return kept[::-1] if latest else kept
