"""The town as every transaction sees it: built once a version, read again when another process has changed it."""

from dataclasses import replace
from datetime import timedelta

from bot.clock import real
from bot.town import build
from storage import people
from storage.store import Tx
from workflow.people import Town


class NoTown(Exception):
    """The database holds no town yet: load one with `tsunagi town load FILE --apply`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Towns:
    """Keeps the newest town in memory; who is away and whose accounts are linked count as part of it."""

    def __init__(self) -> None:
        self._town: Town | None = None

    def of(self, tx: Tx, version: int | None = None) -> Town:
        """Answer the town of this transaction, whose version the caller may know already. Raises NoTown."""
        version = people.town_version(tx) if version is None else version
        if self._town is None or version != self._town.version:
            self._town = _read(tx)
        return self._town


def _read(tx: Tx) -> Town:
    found = people.town_doc(tx)
    if found is None:
        raise NoTown
    doc, version = found
    away = people.absences(tx, real() - timedelta(days=3650))
    built = build(doc, version=version, absences=away)
    linked = people.links(tx)
    staff = {c: replace(s, chat=linked[c]) if c in linked else s for c, s in built.staff.items()}
    return replace(built, staff=staff)
