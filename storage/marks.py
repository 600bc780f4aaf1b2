"""目印: each reader's own word for each case, from the town's closed list; a word means one open case to a reader."""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Final

from sqlalchemy import bindparam, select, update

from storage import tables
from storage.prepared import Prepared, names_of, several
from storage.tx import Tx
from storage.upsert import insert_or_update

_T: Final = tables.marks

_OF_READER: Final = Prepared(select(_T.c.case_id, _T.c.word, _T.c.released).where(_T.c.reader == bindparam("reader")))
_ONE: Final = Prepared(
    select(_T.c.word, _T.c.released).where(_T.c.reader == bindparam("reader"), _T.c.case_id == bindparam("case"))
)
_GIVE: Final = Prepared(insert_or_update(_T, ("reader", "case_id"), "word", "released"))
_RELEASE: Final = Prepared(update(_T).where(_T.c.case_id == bindparam("of_case"), ~_T.c.released).values(released=True))
_LOCK: Final = Prepared(select(tables.staff.c.code).where(tables.staff.c.code == bindparam("reader")).with_for_update())


def mark_for(tx: Tx, reader: str, case_id: int, words: Sequence[str]) -> str:
    """Find or choose a reader's word for a case; when all are in use, two are joined, and then a figure."""
    row = tx.execute(_ONE, {"reader": reader, "case": case_id}).first()
    if row and not row.released:
        return str(row.word)
    # Two cases must not take one word at once; a reader's choices are rare enough to go one by one.
    tx.execute(_LOCK, {"reader": reader})
    taken = set(marks_of(tx, reader))
    chosen = next(word for word in _in_order(reader, case_id, words) if word not in taken)
    tx.execute(_GIVE, {"reader": reader, "case_id": case_id, "word": chosen, "released": False})
    return chosen


def give(tx: Tx, pairs: Iterable[tuple[str, int]], words: Sequence[str]) -> None:
    """See to it that each reader has a word for the case named with them."""
    wanted = sorted(set(pairs))
    there = {
        (row.reader, row.case_id)
        for some in several([case for _, case in wanted])
        for row in tx.execute(_in_use(some.size), some.named)
    }
    for reader, case in wanted:
        if (reader, case) not in there:
            mark_for(tx, reader, case, words)


@cache
def _in_use(size: int) -> Prepared:
    return Prepared(select(_T.c.reader, _T.c.case_id).where(_T.c.case_id.in_(names_of(size)), ~_T.c.released))


def marks_of(tx: Tx, reader: str) -> dict[str, int]:
    """Read a reader's words in use and the case of each."""
    rows = tx.execute(_OF_READER, {"reader": reader})
    return {word: case_id for case_id, word, released in rows if not released}


def words_of(tx: Tx, reader: str) -> dict[int, str]:
    """Read a reader's word for every case, also those released: how old messages named them."""
    return {case_id: word for case_id, word, _ in tx.execute(_OF_READER, {"reader": reader})}


def case_for_mark(tx: Tx, reader: str, text: str) -> int | None:
    """Find the case that a reader means by a word of theirs."""
    wanted = _folded(text)
    return next((case for word, case in marks_of(tx, reader).items() if _folded(word) == wanted), None)


def release(tx: Tx, case_id: int) -> None:
    """Free a closed case's words for others."""
    tx.execute(_RELEASE, {"of_case": case_id})


def _folded(text: str) -> str:
    """Width, spaces and katakana do not matter to who types a mark."""
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in plain)


def _in_order(reader: str, case_id: int, words: Sequence[str]) -> Iterator[str]:
    """Every word once, then every pair, each reader and case beginning elsewhere, always in the same order."""
    words = tuple(dict.fromkeys(words)) or ("目印",)
    size = len(words)
    start = int.from_bytes(hashlib.sha256(f"{reader}\0{case_id}".encode()).digest()[:8])
    turned = [words[(start + i) % size] for i in range(size)]
    yield from turned
    for step in range(1, size):
        for i in range(size):
            yield f"{turned[i]}と{turned[(i + step) % size]}"
    for figure in count(2):
        yield f"{turned[0]}{figure}"
