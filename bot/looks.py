"""Every look is kept: what an answer shows of which cases is written down before it leaves, in a short transaction of its own."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from storage import looks
from storage.looks import Kind, Look, SlowerReader
from storage.store import Store
from workflow import number as numbers

#: Open pages whose looks a process remembers.
REMEMBERED: Final = 5_000
_NUMBER: Final = re.compile(r"(?<![\d-])\d{3}-\d{3}-\d{2}(?![\d-])")


async def keep(store: Store, day: date, found: Sequence[Look]) -> None:
    """Write looks down, on the town's day. Nearly always nobody else does so at this very moment; then they wait for their turn.

    Raises whatever kept it from being written: then nothing may be shown.
    """
    try:
        await store.transact(lambda tx: looks.write(tx, day, found))
    except SlowerReader:
        await store.transact(lambda tx: looks.write(tx, day, found, lock=True))


def named(shown: object) -> list[str]:
    """The case numbers in whatever a page or an answer is made of, each once, in their order."""
    return list(dict.fromkeys(one for text in _texts(shown) for one in _NUMBER.findall(text) if numbers.valid(one)))


def _texts(shown: object) -> Iterator[str]:
    if isinstance(shown, str):
        yield shown
    elif isinstance(shown, dict):
        for value in shown.values():
            yield from _texts(value)
    elif isinstance(shown, list | tuple):
        for value in shown:
            yield from _texts(value)


@dataclass(slots=True)
class Openings:
    """What each open page has been seen to show today: one that renews itself is a new look only when something new is on it."""

    _known: "OrderedDict[tuple[str, str], tuple[date, set[str]]]" = field(default_factory=OrderedDict)

    def news(self, opening: tuple[str, str], day: date, shown: Iterable[str]) -> list[str]:
        """What was not known of a page (session, path) that renews itself."""
        since, known = self._known.get(opening, (day, set()))
        return [one for one in shown if since != day or one not in known]

    def seen(self, opening: tuple[str, str], day: date, shown: Iterable[str]) -> None:
        """Remember what has been written down."""
        since, known = self._known.pop(opening, (day, set()))
        self._known[opening] = (day, {*(known if since == day else ()), *shown})
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def of_request(
    shown: dict[Kind, list[str]], page: str, staff: str, at: datetime, known: Openings | None, opening: tuple[str, str], day: date
) -> list[Look]:  # fmt: skip
    """The looks of one request, one of each kind; `known`: it is an open page renewing itself.

    A search or an export that found nothing is one too, a page without a case is none.
    """
    found = []
    for kind, each in shown.items():
        numbers_ = tuple(dict.fromkeys(each))
        new = numbers_ if known is None else tuple(known.news(opening, day, numbers_))
        if new or (known is None and kind != "view"):
            found.append(Look(at, staff, kind, page, new))
    return found
