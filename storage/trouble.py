"""What a database may fail at, as exceptions in words: drivers' own errors are turned into these."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot commit: {why}."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database cannot be reached or cannot commit: {why}.")


class DatabaseReadOnly(Exception):
    """The database takes no changes: {why}."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database takes no changes: {why}.")


class DatabaseBehind(Exception):
    """The database is at version {found}, this program needs {head}: run `tsunagi migrate`."""

    def __init__(self, found: str, head: str) -> None:
        self.found, self.head = found, head
        super().__init__(f"The database is at version {found}, this program needs {head}: run `tsunagi migrate`.")


class DatabaseAhead(Exception):
    """The database is at version {found}, which this program ({head}) does not know: run the newer program."""

    def __init__(self, found: str, head: str) -> None:
        self.found, self.head = found, head
        super().__init__(
            f"The database is at version {found}, which this program ({head}) does not know: run the newer program."
        )


def state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


@contextmanager
def in_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        ours = worded(error)
        if ours is error:
            raise
        raise ours from error


#: By the class of SQLSTATE.
_POSTGRES_GONE: Final = {
    "08": "the connection was lost",
    "53": "it has no room left, on its disk or for connections",
    "57": "the connection was lost",
    "58": "its disk reports an error",
}
_SQLITE_GONE: Final = {
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_IOERR: "its disk reports an error",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_NOTADB: "its file is not a database",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
}


def worded(error: BaseException) -> BaseException:
    """Turn a failure of the database itself into one of ours; anything else stays what it is."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        at = state(error)
        if code == sqlite3.SQLITE_READONLY or at == "25006":
            return DatabaseReadOnly("it is read-only")
        if why := _SQLITE_GONE.get(code):
            return DatabaseUnavailable(why)
        if why := _POSTGRES_GONE.get(at[:2]):
            return DatabaseUnavailable(why)
        if error.connection_invalidated:
            return DatabaseUnavailable("the connection was lost")
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return DatabaseUnavailable(_SQLITE_GONE.get(code, "its file cannot be opened"))
    return error
