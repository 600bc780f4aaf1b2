"""Every row of every table as lines of JSON, the same from either database and into either; and back into an empty one.

The first line is `About`. Then for each table a line of its columns, a line a row, and a line that ends it with a digest. Values are
as they are kept: moments in microseconds, documents as their text, sealed bytes in base64. The lines are deflated; how they are
sealed is storage/envelope.py's.
"""

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    and_,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    or_,
    select,
    table,
    text,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeDecorator, TypeEngine

from storage import migrate, seal, tables
from storage.envelope import Damaged
from storage.trouble import DatabaseAhead, in_words
from storage.tx import Tx

T = TypeVar("T")
Told: TypeAlias = Callable[[int], None]  #: how many rows more

PAGE: Final = 1_000  #: rows a journey
_M: Final = tables.municipality
_L: Final = tables.letters
_H: Final = tables.households


class TownThere(Exception):
    """There is a town in this database already: restore into a new one. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotEmpty(Exception):
    """This database is not empty ({table}): restore into a new one. Nothing was changed."""

    def __init__(self, table: str) -> None:
        super().__init__(f"This database is not empty ({table}): restore into a new one. Nothing was changed.")


class BackupAhead(Exception):
    """This backup is of version {found}, which this program ({head}) does not know: run the newer program."""

    def __init__(self, found: str, head: str) -> None:
        super().__init__(
            f"This backup is of version {found}, which this program ({head}) does not know: run the newer program."
        )


class DoesNotFit(Exception):
    """Rows of this backup do not fit into the database ({table}: {why}). Nothing was changed."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(f"Rows of this backup do not fit into the database ({table}: {why}). Nothing was changed.")


@dataclass(frozen=True, slots=True)
class About:
    """What a backup is of."""

    code: str  #: of the municipality
    name: str
    schema: str  #: the version of the tables
    at: datetime  #: the town's moment; of a demonstration not the real one
    made: datetime
    database: str  #: sqlite | postgresql
    rows: Mapping[str, int]  #: by table

    @property
    def total(self) -> int:
        return sum(self.rows.values())


# Out


def about(tx: Tx, at: datetime, made: datetime) -> About | None:
    """Say what the present snapshot is of; None without a town."""
    town = tx.execute(select(_M.c.code, _M.c.name)).first()
    if town is None:
        return None
    counts = {str(one.name): tx.execute(select(func.count()).select_from(one)).scalar_one() for one in _tables()}
    return About(town.code, town.name, migrate.found(tx.connection), at, made, tx.dialect, counts)


def lines(tx: Tx, about: About, told: Told) -> Iterator[bytes]:
    """Yield a whole snapshot, inside `Store.read`."""
    yield orjson.dumps(asdict(about))
    for one in _tables():
        names = [c.name for c in one.columns]
        sealed = [c.name for c in one.columns if isinstance(c.type, LargeBinary)]
        yield orjson.dumps({"table": one.name, "columns": names, "bytes": sealed, "own": _own(one)})
        digest = 0
        for page in _pages(tx, one):
            for line in page:
                digest += _weight(line)
                yield line
            told(len(page))
        yield orjson.dumps({"end": one.name, "digest": _digest(digest)})


def packed(lines: Iterable[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(6)
    for line in lines:
        if some := deflate.compress(line + b"\n"):
            yield some
    yield deflate.flush()


def digests(tx: Tx) -> dict[str, str]:
    """A digest of each table's rows, whatever their order: two databases of one town have the same."""
    return {
        str(one.name): _digest(sum(_weight(line) for page in _pages(tx, one) for line in page)) for one in _tables()
    }


def unopened(tx: Tx) -> int:
    """Count the households whose key does not open: what is written about them cannot be read by whoever holds the key file."""
    return sum(not _opens(tx, *row) for row in tx.execute(select(_H.c.id, _H.c.key).where(_H.c.key.is_not(None))))


def _opens(tx: Tx, household: int, wrapped: bytes) -> bool:
    try:
        tx.keys.unwrap(wrapped, household)
    except seal.WrongKey:
        return False
    return True


def _tables() -> list[Table]:
    """Each behind those that it points to."""
    return tables.metadata.sorted_tables


def _own(one: Table) -> dict[str, str]:
    """Columns that point to a row of their own table, and to which column."""
    return {str(c.name): str(f.column.name) for c in one.columns for f in c.foreign_keys if f.column.table is one}


def _pages(tx: Tx, one: Table) -> Iterator[list[bytes]]:
    """Some rows at a time, in the order of their key: a cursor would hold all of them on one side or the other."""
    plain = {c.name: _plain(c.type) for c in one.columns}
    found = select(*(type_coerce(c, plain[c.name]).label(c.name) for c in one.columns))
    keys: list[ColumnElement[Any]] = [type_coerce(c, plain[c.name]) for c in one.primary_key.columns]
    places = [list(one.columns).index(c) for c in one.primary_key.columns]
    found = found.order_by(*keys).limit(PAGE)
    page = tx.execute(found).all()
    while page:
        yield [orjson.dumps(list(row), default=_written) for row in page]
        if len(page) < PAGE:
            return
        last = [literal(page[-1][place], key.type) for place, key in zip(places, keys, strict=True)]
        page = tx.execute(found.where(tuple_(*keys) > tuple_(*last))).all()


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _written(value: object) -> str:
    assert isinstance(value, bytes)
    return b64encode(value).decode()


def _weight(line: bytes) -> int:
    return int.from_bytes(hashlib.sha256(line).digest())


def _digest(weight: int) -> str:
    return f"{weight % (1 << 256):064x}"


# In


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines again. Raises Damaged when they end too early."""
    inflate, rest = zlib.decompressobj(), b""
    for chunk in chunks:
        *whole, rest = (rest + inflate.decompress(chunk)).split(b"\n")
        yield from whole
    if rest or not inflate.eof:
        raise Damaged


def head(lines: Iterator[bytes]) -> About:
    """Read the first line. Raises Damaged, BackupAhead."""
    try:
        found = orjson.loads(next(lines))
        moments = {name: datetime.fromisoformat(found[name]) for name in ("at", "made")}
    except (StopIteration, ValueError, KeyError):
        raise Damaged from None
    if found["schema"] > migrate.head():
        raise BackupAhead(found["schema"], migrate.head())
    return About(**(found | moments))


def restore(
    url: str,
    keys: seal.Keys,
    about: About,
    lines: Iterable[bytes],
    told: Told,
    then: Callable[[Tx, Mapping[str, str]], T],
) -> T:
    """Fill an empty database with what follows the first line, at this program's version, in one transaction.

    `then` is done at its end with the digests that were saved. Raises TownThere, NotEmpty, DatabaseAhead or DoesNotFit.
    """

    def work(connection: Connection) -> T:
        _make_room(connection, about.schema)
        migrate.bring(connection, about.schema)
        saved = _load(connection, lines, told)
        migrate.bring(connection)
        if connection.dialect.name == "postgresql":
            _count_on(connection)
        tx = Tx(connection, "postgresql" if connection.dialect.name == "postgresql" else "sqlite", keys, set())
        done = then(tx, saved)
        tx.settle()
        return done

    return migrate.alone(url, work)


def _make_room(connection: Connection, schema: str) -> None:
    """See that nothing is there. What was migrated too far for this backup begins anew."""
    version = migrate.found(connection)
    if version > migrate.head():
        raise DatabaseAhead(version, migrate.head())
    there = sorted(set(inspect(connection).get_table_names()) & set(tables.metadata.tables))
    held = [name for name in there if connection.execute(select(exists().select_from(table(name)))).scalar()]
    if _M.name in held:
        raise TownThere
    if held:
        raise NotEmpty(held[0])
    if version > schema:
        ours = MetaData()
        ours.reflect(connection, only=[*there, "alembic_version"])
        ours.drop_all(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(text("DROP FUNCTION IF EXISTS journal_is_append_only"))


def _load(connection: Connection, lines: Iterable[bytes], told: Told) -> dict[str, str]:
    found: dict[str, str] = {}
    filling: _Filling | None = None
    for line in lines:
        one = orjson.loads(line)
        if isinstance(one, list):
            assert filling is not None
            filling.add(one)
            told(1)
        elif "table" in one:
            filling = _Filling(connection, one)
        elif filling is not None:
            filling.end()
            found[one["end"]] = one["digest"]
    return found


class _Filling:
    """One table being filled, some rows at a time."""

    def __init__(self, connection: Connection, of: Mapping[str, Any]) -> None:
        self._connection = connection
        self._names: list[str] = of["columns"]
        self._table = table(of["table"], *(column(name) for name in self._names))
        self._sealed: list[str] = of["bytes"]
        self._own: dict[str, str] = of["own"]
        self._rows: list[dict[str, Any]] = []
        self._later: dict[str, list[dict[str, Any]]] = {name: [] for name in self._own}

    def add(self, values: list[Any]) -> None:
        row = dict(zip(self._names, values, strict=True))
        for name in self._sealed:
            row[name] = None if row[name] is None else b64decode(row[name])
        for name, key in self._own.items():
            if row[name] is not None:  # what it points to may come behind it
                self._later[name].append({"of_key": row[key], "points_to": row[name]})
                row[name] = None
        self._rows.append(row)
        if len(self._rows) == PAGE:
            self._let_go()

    def end(self) -> None:
        self._let_go()
        for name, rows in self._later.items():
            if rows:
                key = self._table.c[self._own[name]]
                points = update(self._table).where(key == bindparam("of_key")).values({name: bindparam("points_to")})
                self._run(points, rows)

    def _let_go(self) -> None:
        if self._rows:
            self._run(insert(self._table), self._rows)
            self._rows = []

    def _run(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        try:
            with in_words():
                self._connection.execute(statement, rows)
        except DBAPIError as error:
            raise DoesNotFit(self._table.name, type(error.orig).__name__) from error


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number the next rows behind those that came with their numbers."""
    for one in _tables():
        if (key := one.autoincrement_column) is not None:
            newest = f"SELECT coalesce(max({key.name}), 0) + 1 FROM {one.name}"  # noqa: S608 - our own names
            sequence = f"pg_get_serial_sequence('{one.name}', '{key.name}')"
            connection.execute(text(f"SELECT setval({sequence}, ({newest}), false)"))


# And on


def take_up(tx: Tx, now: datetime, *, stopped: bool) -> list[tuple[int, bool]]:
    """Make unknown what may have been sent since by the system that was backed up; answer (letter, whether it must arrive).

    What was under way in any case; what could leave by now unless that system had `stopped`. Waits and timers go on, so that
    silence still climbs. Everybody signs in again: a session may have been ended since.
    """
    tx.execute(delete(tables.sessions))
    left = _L.c.state == "leased"
    if not stopped:
        left = or_(left, and_(_L.c.state == "pending", _L.c.not_before <= now))
    unsure = update(_L).where(left).values(state="unknown", why=RESTORED, lease=None, lease_until=None)
    return [(id_, must) for id_, must in tx.execute(unsure.returning(_L.c.id, _L.c.must))]


RESTORED: Final = "restored"  #: why such a letter's fate is unknown
