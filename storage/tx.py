"""What a work is handed: statements go through it, savepoints, and what is put to leave together."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, overload

from sqlalchemy import Connection, CursorResult, Row, SelectBase, text

from storage.prepared import Answer, Prepared, Write, transaction, travels, write, write_together
from storage.seal import Keys

T = TypeVar("T")
DialectName: TypeAlias = Literal["sqlite", "postgresql"]
Flags: TypeAlias = frozenset[str]
Result: TypeAlias = CursorResult[*tuple[Any, ...]]
Record: TypeAlias = Row[*tuple[Any, ...]]
Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

BEGIN: Final = "BEGIN"


class Tx:
    """What a work is handed: statements go through it, and whom the commit should wake."""

    __slots__ = ("_connection", "_promised", "_savepoints", "_writes", "begun", "dialect", "flags", "keys")

    def __init__(
        self, connection: Connection, dialect: DialectName, keys: Keys, flags: set[str], *, begun: bool = True
    ) -> None:
        self._connection = connection
        self.dialect = dialect
        self.keys = keys
        self.flags = flags
        self.begun = begun  #: the database knows of a transaction; False: before the first statement that needs one
        self._savepoints: list[int] = []  #: that we are in: how many writes had been put before each
        self._promised = 0  #: how many of them, the innermost, nothing was written in yet
        self._writes: dict[Any, Write] = {}  #: by table, those that have not left yet

    @property
    def connection(self) -> Connection:
        """For statements of one's own, inside the transaction."""
        self._begin()
        return self._connection

    @overload
    def execute(self, statement: Prepared, parameters: Parameters = None) -> Answer: ...

    @overload
    def execute(self, statement: Any, parameters: Parameters = None) -> Result: ...

    def execute(self, statement: Any, parameters: Parameters = None) -> Answer | Result:
        """Run a statement, or the one of a pair that is this dialect's.

        What was put before goes first, but for a prepared one that reads other tables.
        """
        if type(statement) is Prepared:
            if self._writes and not (statement.reads and self._writes.keys().isdisjoint(statement.tables)):
                self.settle()
            if self._promised and not statement.reads:
                self._begin_savepoints()
            if not (self.begun or statement.only_reads):
                self._begin()
            return statement.run(self._connection, self.dialect, parameters)
        self.settle()
        if type(statement) is dict:
            statement = statement[self.dialect]
        if self._promised and not isinstance(statement, SelectBase):
            self._begin_savepoints()
        return self.connection.execute(statement, parameters)

    def put(
        self, statement: Prepared, rows: Sequence[Mapping[str, Any]], *, missed: type[Exception] | None = None
    ) -> None:
        """Write rows and hear nothing of it; `missed` is raised when a row that it means is not there.

        On PostgreSQL it leaves together with what else is put, at the latest before the commit; what is wrong with it is raised then.
        """
        one = Write(statement, rows, missed)
        if self.dialect == "sqlite":
            self._write(one)
            return
        waiting = self._writes.get(statement.table)
        if waiting is not None and not self._savepoints and (both := waiting.joined(one)) is not None:
            self._writes[statement.table] = both
            return
        alone = not travels(one)
        if alone or waiting is not None:
            self.settle()
        if alone:
            self._write(one)
        else:
            self._writes[statement.table] = one

    def settle(self) -> None:
        """Let go what has been put."""
        if self._writes:
            self._begin_savepoints()
            self._let_go(len(self._writes))

    def settle_alone(self) -> None:
        """Let go all that has been put, as the only statement that writes anything: it is a transaction by itself."""
        if self._writes:
            writes, self._writes = list(self._writes.values()), {}
            write_together(self._connection, writes)

    def _begin(self) -> None:
        if not self.begun:
            transaction(self._connection, BEGIN)
            self.begun = True

    def _let_go(self, count: int) -> None:
        """Send the first so many of what has been put."""
        if count:
            self._begin()
            tables = list(self._writes)[:count]
            write_together(self._connection, [self._writes.pop(table) for table in tables])

    def _write(self, one: Write) -> None:
        if self._promised:
            self._begin_savepoints()
        self._begin()
        write(self._connection, self.dialect, one)

    def flag(self, name: Literal["timers", "letters", "journal"]) -> None:
        """Ask that the loop of this name be woken when the transaction has committed."""
        self.flags.add(name)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside when an exception leaves it. It costs nothing until something is written inside.

        The names are few, so that drivers keep the statements prepared; SQLAlchemy's own count up for ever.
        """
        depth = len(self._savepoints)
        self._savepoints.append(len(self._writes))
        self._promised += 1
        try:
            yield
        except BaseException:
            if self._over:
                self._writes.clear()
            elif self._promised:
                self._writes = dict(islice(self._writes.items(), self._savepoints[depth]))
            else:
                self._writes.clear()
                self._savepoint("ROLLBACK TO SAVEPOINT", depth)
                self._savepoint("RELEASE SAVEPOINT", depth)
            raise
        else:
            # On PostgreSQL it goes with the transaction, which saves a round trip.
            if not self._promised and self.dialect == "sqlite":
                self._savepoint("RELEASE SAVEPOINT", depth)
        finally:
            self._savepoints.pop()
            self._promised = max(0, self._promised - 1)

    @property
    def _over(self) -> bool:
        """Say whether the database has ended the transaction by itself: the connection is lost, or SQLite's disk is full.

        To ask for a savepoint then would hide why, and SQLAlchemy would ask on a new connection.
        """
        gone = self._connection.invalidated
        return gone or (self.dialect == "sqlite" and not driver(self._connection).in_transaction)

    def _savepoint(self, verb: str, depth: int) -> None:
        self._begin()
        _savepoint(verb, depth).run(self._connection, self.dialect, None)

    def _begin_savepoints(self) -> None:
        """Begin those that were promised, each behind what had been put before it."""
        gone = 0
        while self._promised:
            depth = len(self._savepoints) - self._promised
            self._let_go(self._savepoints[depth] - gone)
            gone = self._savepoints[depth]
            self._savepoint("SAVEPOINT", depth)
            self._promised -= 1


@cache
def _savepoint(verb: str, depth: int) -> Prepared:
    return Prepared(text(f"{verb} work_{depth}"))


def driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


Work: TypeAlias = Callable[[Tx], T]
