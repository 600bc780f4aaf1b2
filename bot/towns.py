"""The town as every transaction sees it: built once a version, read again when another process has changed it."""

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
    """Keeps the newest town in memory; absences count as part of it."""

    def __init__(self) -> None:
        self._town: Town | None = None
        self._key: tuple[int, int] | None = None

    def of(self, tx: Tx) -> Town:
        """Answer the town of this transaction. Raises NoTown."""
        key = people.town_key(tx)
        if self._town is None or key != self._key:
            found = people.town_doc(tx)
            if found is None:
                raise NoTown
            away = people.absences(tx, real() - timedelta(days=3650))
            self._town = build(found[0], version=key[0] * 1_000_000 + key[1], absences=away)
            self._key = key
        return self._town
