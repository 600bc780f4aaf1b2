"""The town as every transaction sees it: built once a version, read again when another process has changed it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from bot.clock import real
from bot.town import build
from storage import people
from storage.tx import Tx
from workflow.people import Staff, Town


class NoTown(Exception):
    """The database holds no town yet: load one with `tsunagi town load FILE --apply`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Towns:
    """Keeps the newest town in memory; who is away, whose accounts are linked and in which order count as part of it."""

    def __init__(self, outside: frozenset[str] = frozenset()) -> None:
        self._outside = outside  #: the platforms that are set up here
        self._town: Town | None = None

    @property
    def lately(self) -> Town | None:
        """The newest town that was read; it may have changed since."""
        return self._town

    def of(self, tx: Tx, version: int | None = None) -> Town:
        """Answer the town of this transaction, whose version the caller may know already. Raises NoTown."""
        version = people.town_version(tx) if version is None else version
        if self._town is None or version != self._town.version:
            self._town = replace(_read(tx), outside=self._outside)
        return self._town


def _read(tx: Tx) -> Town:
    found = people.town_doc(tx)
    if found is None:
        raise NoTown
    doc, version = found
    away = people.absences(tx, real() - timedelta(days=3650))
    built = build(doc, version=version, absences=away)
    links, readers = people.links(tx), people.readers(tx)
    linked: dict[str, list[tuple[str, str]]] = {}
    for link in links:
        if link.reachable:
            linked.setdefault(link.staff, []).append((link.platform, link.account))
    orders = {code: one.orders for code, one in readers.items()}
    staff = {c: replace(s, chat=_ordered(s, linked.get(c, ()), orders.get(c, ()))) for c, s in built.staff.items()}
    quiet = {code: one.quiet for code, one in readers.items() if one.quiet}
    accounts = {(link.platform, link.account): link.staff for link in links}
    return replace(built, staff=staff, accounts=accounts, quiet=quiet)


def _ordered(person: Staff, accounts: Sequence[tuple[str, str]], order: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """A person's accounts in the order they chose, the others behind; mail among them only when they put it somewhere."""
    mail = (("mail", person.email),) if person.email and "mail" in order else ()
    place = {platform: i for i, platform in enumerate(order)}
    return tuple(sorted((*accounts, *mail), key=lambda one: place.get(one[0], len(order))))
