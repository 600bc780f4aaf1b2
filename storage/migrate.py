"""Bring a database to this program's version, or say in a sentence why the two do not fit."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from time import sleep
from typing import Final, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from storage.address import address
from storage.postgres import postgres_engine, run
from storage.sqlite import sqlite_engine
from storage.trouble import DatabaseAhead, DatabaseBehind, in_words
from storage.tx import Tx

T = TypeVar("T")

MIGRATIONS: Final = Path(__file__).parent / "migrations"
EMPTY: Final = "0000"  #: of a database without any of our tables
#: Milliseconds to wait for a table: who waits stands before everybody who comes later. Less than PostgreSQL's deadlock_timeout (1 s):
#: where we and a serving program wait for each other, we give way and it never hears of it.
PATIENCE: Final = 500
PAUSE: Final = 0.3  #: seconds between two tries
TRIES: Final = 10

#: Two processes that start at once migrate one after the other.
_ADVISORY: Final = text("SELECT pg_advisory_xact_lock(7805441)")
_PATIENCE: Final = text(f"SET LOCAL lock_timeout = {PATIENCE}")
_FOUND: Final = text("SELECT version_num FROM alembic_version")
_HELD_UP: Final = ("55P03", "40P01")  #: lock_not_available, deadlock_detected


class HeldUp(Exception):
    """Somebody has been reading the tables for long, a backup perhaps: nothing was changed, try again when it is done."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@cache
def head() -> str:
    """The version this program needs: the last migration's number, read off the files (Alembic is slow to import)."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(url: str, *, tries: int = TRIES) -> str:
    """Make or bring up to date the database at this address; answer its version. Whoever works with it goes on meanwhile.

    Raises DatabaseAhead when a newer program has been here, DatabaseUnavailable when nobody answers, HeldUp after so many tries.
    """
    while True:
        try:
            return alone(url, bring)
        except HeldUp:
            if (tries := tries - 1) <= 0:
                raise
            sleep(PAUSE)


def check(url: str) -> None:
    """Raise DatabaseBehind or DatabaseAhead unless the database is at this program's version."""
    _fits(alone(url, found))


def serves(tx: Tx) -> str:
    """Answer the version of the database inside `Store.read`, one ahead of this program too: both serve while a newer one takes over.

    Raises DatabaseBehind.
    """
    version = found(tx.connection)
    if version < head():
        raise DatabaseBehind(version, head())
    return version


def found(connection: Connection) -> str:
    """Read the version of a database; "0000" when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return EMPTY
    return str(connection.execute(_FOUND).scalar() or EMPTY)


def _fits(version: str) -> None:
    if version < head():
        raise DatabaseBehind(version, head())
    if version > head():
        raise DatabaseAhead(version, head())


def bring(connection: Connection, to: str = "head") -> str:
    """The same as `upgrade` within a transaction, `to` an older version too. Raises DatabaseAhead, HeldUp."""
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(_ADVISORY)
        connection.execute(_PATIENCE)
    if (version := found(connection)) > head():
        raise DatabaseAhead(version, head())
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _HELD_UP:
            raise HeldUp from error
        raise
    return found(connection)


def alone(url: str, work: Callable[[Connection], T]) -> T:
    """Run a work in one transaction on a connection of its own, whether or not an event loop is running here."""
    place = address(url)
    with in_words():
        if place.get_backend_name() == "sqlite":
            engine = sqlite_engine(place)
            try:
                with engine.begin() as connection:
                    return work(connection)
            finally:
                engine.dispose()
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _on_postgres(place, work)).result()


async def _on_postgres(url: URL, work: Callable[[Connection], T]) -> T:
    engine = postgres_engine(url, 1)
    try:
        return await run(engine, lambda connection: _committed(connection, work))
    finally:
        await engine.dispose()


def _committed(connection: Connection, work: Callable[[Connection], T]) -> T:
    with connection.begin():
        return work(connection)
