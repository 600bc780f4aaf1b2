"""目印: a case gets its reader's own word when it first reaches them, which for the pages is when they are about to read it."""

from typing import Final

from bot.pages.frame import Desk
from storage import cases, conversation, marks
from storage.tx import Tx

#: So many of the newest letters of each room are about to be read.
LETTERS: Final = 60
#: Given at one time; a town's words are many, a page's time is not.
MOST: Final = 200


async def give(found: Desk, *also: int) -> None:
    """Give every case that this person is about to read its 目印; usually there is nothing to do."""
    nameless = await found.read(lambda tx: _nameless(tx, found, also))
    if nameless:
        words, me = found.town.marks, found.reader.code
        await found.write(lambda tx: [marks.mark_for(tx, me, one, words) for one in nameless])


def _nameless(tx: Tx, found: Desk, also: tuple[int, ...]) -> list[int]:
    me = found.reader
    reached = [*also, *(stake.case.id for stake in cases.of_staff(tx, found.sight))]
    for room in (None, *me.agencies):
        reached += [row.case_id for row in conversation.letters(tx, me.code, room, LETTERS) if row.case_id is not None]
    named = marks.words_of(tx, me.code)
    return [one for one in dict.fromkeys(reached) if one not in named][:MOST]
