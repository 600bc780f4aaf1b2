"""Calendars of a town that were replaced: kept in its document until every open wait has been carried over."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.town.entries import Doc

FORMER: Final = "former"  #: the key that they are kept under; no town file has it
_CITY: Final = ("timezone", "holidays", "closed", "years", "holiday_dates")
_AGENCY: Final = ("code", "hours", "open", "closed")


def remembering(new: Doc, old: Doc | None) -> Doc:
    """Return a new document with the calendar that it replaces, behind those that the old one remembered."""
    doc = {key: value for key, value in new.items() if key != FORMER}
    if old is None:
        return doc
    former = [*old.get(FORMER, ()), *([_calendar(old)] if _calendar(old) != _calendar(new) else ())]
    return doc | {FORMER: former} if former else doc


def forgetting(doc: Doc, count: int) -> Doc:
    """Return a document without the oldest of the calendars that it remembers."""
    rest = doc[FORMER][count:]
    return {key: value for key, value in doc.items() if key != FORMER} | ({FORMER: rest} if rest else {})


def _calendar(doc: Doc) -> Doc:
    """What business time is made of."""
    return {"municipality": _part(doc["municipality"], _CITY), "agency": [_part(one, _AGENCY) for one in doc["agency"]]}


def _part(entry: Mapping[str, Any], keys: Sequence[str]) -> Doc:
    return {key: entry[key] for key in keys}
