"""Statements of one shape, compiled once: the most of what executing costs is working out how, every time anew.

For module-level statements with the same parameters at every call. What SQLAlchemy would do at each is done here once: the text,
the order of the parameters, the conversion of each value on its way in and out. Measured on SQLite, a row found by its key: 68 µs by
`Connection.execute`, 7 µs so. While somebody listens to the engine's events, SQLAlchemy executes, and they hear every statement.

PostgreSQL is a journey away, some 90 µs of CPU each: writes that nobody waits for travel `together`, as one statement.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, cast

from sqlalchemy import BindParameter, Connection, Dialect, Insert, SelectBase, Table, UpdateBase, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine
from sqlalchemy.util.concurrency import await_

from storage.upsert import Both

Values: TypeAlias = Mapping[str, Any]
Convert: TypeAlias = Callable[[Any], Any]


class Answer:
    """What a prepared statement answered: its rows, all read, and how many it touched."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        """The first row, a named tuple; None without one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """The only row. Raises ValueError where there are none or several."""
        (row,) = self._rows
        return row

    def scalar(self) -> Any:
        """The first value of the first row; None without one."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first value of the only row. Raises ValueError where there are none or several."""
        return self.one()[0]


class _Place(NamedTuple):
    """One parameter of the text: its name (None: it is always the same), its conversion, and what it always is."""

    name: str | None
    convert: Convert | None
    always: Any


class Several(NamedTuple):
    """Some values of an IN, padded with the last one, so that a few sizes do for any number."""

    size: int
    named: dict[str, Any]  #: by the names of `names_of`


#: Values of one IN.
AT_ONCE: Final = 64


def several(values: Sequence[Any]) -> Iterator[Several]:
    """Go through values, `AT_ONCE` at a time."""
    for start in range(0, len(values), AT_ONCE):
        some = values[start : start + AT_ONCE]
        size = 1 << (len(some) - 1).bit_length()
        yield Several(size, {f"in_{i}": some[min(i, len(some) - 1)] for i in range(size)})


def names_of(size: int) -> list[BindParameter[Any]]:
    """The parameters of an IN with so many values."""
    return [bindparam(f"in_{i}") for i in range(size)]


class Write(NamedTuple):
    """Rows on their way to a table by one statement, and what it means when none was touched (None: nothing)."""

    statement: "Prepared"
    rows: Sequence[Values]
    missed: type[Exception] | None

    def joined(self, more: "Write") -> "Write | None":
        """Both as one; None where they are not alike, or where rows of both have the same keys and their order counts."""
        keys = self.statement.keys
        alike = (
            self.statement is more.statement
            and self.missed is more.missed
            and self.rows[0].keys() == more.rows[0].keys()
        )
        if keys is None or not alike:
            return None
        if keys and not {_key(row, keys) for row in self.rows}.isdisjoint(_key(row, keys) for row in more.rows):
            return None
        return Write(self.statement, [*self.rows, *more.rows], self.missed)


def _key(row: Values, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in keys)


class _Plan(NamedTuple):
    text: str
    row: Callable[[Values], tuple[Any, ...]]  #: the parameters in the text's order
    make: Callable[[Iterable[Any]], Any] | None  #: a row's named tuple; None: no rows come back
    conversions: tuple[tuple[int, Convert], ...]  #: of a row, by place


class Prepared:
    """One such statement (or a pair of dialects).

    `keys`: the parameters that tell its rows apart, so that many may be written as one; a plain INSERT has only new ones.
    """

    def __init__(self, statement: Any, keys: Sequence[str] | None = None) -> None:
        self.statement: Any | Both = statement
        self.keys: Final = () if keys is None and type(statement) is Insert else keys
        one = next(iter(statement.values())) if isinstance(statement, Mapping) else statement
        self.reads: Final = isinstance(one, SelectBase)
        parts = list(iterate(one))
        #: … and locks nothing
        self.only_reads: Final = self.reads and not any(
            getattr(part, "_for_update_arg", None) is not None for part in parts
        )
        self.inserts: Final = isinstance(one, Insert)
        self.table: Final = one.table if isinstance(one, UpdateBase) else None  #: that it writes to
        self.tables: Final = frozenset(t for t in parts if isinstance(t, Table))  #: that it reads or writes
        self._plans: dict[tuple[str, tuple[str, ...]], _Plan] = {}

    def plan(self, connection: Connection, dialect: str, names: tuple[str, ...]) -> _Plan:
        return self._plans.get((dialect, names)) or self._made(connection, dialect, names)

    def run(self, connection: Connection, dialect: str, given: Values | Sequence[Values] | None) -> Answer:
        """Execute it once, or once for each of several rows. Raises what SQLAlchemy would raise."""
        one = given is None or isinstance(given, dict)
        names = tuple((given or ()) if one else given[0])  # type: ignore[index]
        plan = self.plan(connection, dialect, names)
        values: Any = plan.row(given or {}) if one else [plan.row(v) for v in given]  # type: ignore[arg-type,union-attr]
        rows, touched = _execute(connection, plan, values, many=not one)
        if plan.make is None:
            return Answer([], touched)
        return Answer([_converted(plan.make, plan.conversions, row) for row in rows], touched)

    def _made(self, connection: Connection, dialect: str, names: tuple[str, ...]) -> _Plan:
        statement = self.statement[dialect] if isinstance(self.statement, Mapping) else self.statement
        if isinstance(statement, Insert):
            statement = statement.inline()  # no RETURNING but one that was asked for
        compiled = statement.compile(dialect=connection.dialect, column_keys=sorted(names))
        # An IN over constants is written out; values given at each call have to be one for one.
        full = compiled.construct_expanded_state(dict.fromkeys(names))
        convert = {**compiled._bind_processors, **full.processors}
        ours = {name: way for bind, name in compiled.bind_names.items() if (way := getattr(bind.type, "way_in", None))}
        places = tuple(
            _Place(name if name in names else None, ours.get(name) or convert.get(name), full.parameters.get(name))
            for name in full.positiontup or ()
        )
        columns = compiled._result_columns
        ways = [_way_out(c.type, connection.dialect) for c in columns]
        row: Any = namedtuple("Row", [c.keyname for c in columns], rename=True) if columns else None
        plan = _Plan(
            full.statement,
            _row(places),
            row and row._make,
            tuple((i, way) for i, way in enumerate(ways) if way is not None),
        )
        self._plans[dialect, names] = plan
        return plan


def write(connection: Connection, dialect: str, one: Write) -> None:
    """Execute a write by itself. Raises what it calls missed when it touched no row."""
    found = one.statement.run(connection, dialect, one.rows[0] if len(one.rows) == 1 else one.rows)
    if one.missed is not None and found.rowcount == 0:
        raise one.missed


def write_together(connection: Connection, writes: Sequence[Write]) -> None:
    """Execute writes to different tables of PostgreSQL in one journey. Raises as each would by itself.

    None sees what another has written: https://www.postgresql.org/docs/current/queries-with.html
    """
    if len(writes) == len(writes[0].rows) == 1:
        return write(connection, "postgresql", writes[0])
    plans = [w.statement.plan(connection, "postgresql", tuple(w.rows[0])) for w in writes]
    shape = tuple((plan.text, _spelt_rows(w), w.missed is not None) for plan, w in zip(plans, writes, strict=True))
    text = _TOGETHER.get(shape) or _TOGETHER.setdefault(shape, _together(shape))
    values: list[Any] = []
    for plan, one in zip(plans, writes, strict=True):
        rows = map(plan.row, one.rows)
        values += chain.from_iterable(rows) if _spelt_rows(one) else map(list, zip(*rows, strict=True))
    try:
        _execute(connection, _Plan(text, tuple, tuple, ()), tuple(values), many=False)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == NO_NUMBER and (found := _MISSED.search(str(error.orig))):
            raise cast(type[Exception], writes[int(found[1])].missed) from None
        raise


def travels(one: Write) -> bool:
    """Say whether a write can go together with others: one row, several new ones, or several that are told apart."""
    return len(one.rows) == 1 or one.statement.inserts or one.statement.keys is not None


#: Rows of an INSERT that are written out in a text; more, and those of an UPDATE, come as arrays, so that a few texts do for all
#: (asyncpg takes 2 µs for an array).
SPELT: Final = 2
_Shape: TypeAlias = tuple[
    tuple[str, int, bool], ...
]  #: of each: its text for one row, rows spelt (0: arrays), whether counted
_TOGETHER: Final[dict[_Shape, str]] = {}
_VALUES: Final = re.compile(r"VALUES (\([^()]*\))")
_PLACE: Final = re.compile(r"\$(\d+)")
NO_NUMBER: Final = "22P02"  #: invalid_text_representation
_MISSED: Final = re.compile(r"w(\d+) missed \d+")
_ARRAY: Final = re.compile(r"\$\d+::\w+\[\]")
_TYPED: Final = re.compile(r"\$(\d+)::(\w+)")


def _together(shape: _Shape) -> str:
    """WITH each of them, its places counted on; then whether those that may be missed have touched as many rows as were given.

    Where one has not, the statement fails before anything else is written, with words that are no number and say which.
    """
    parts, counts, before = [], [], 0
    for i, (text, rows, counted) in enumerate(shape):
        if not rows and text.startswith("UPDATE"):
            text = _over_arrays(text)
        elif rows != 1:
            text = _VALUES.sub(partial(_spelt, rows) if rows else _as_arrays, text, count=1)
        places = [int(place) for place in _PLACE.findall(text)]
        text = _counted_on(text, before)
        before += max(places)
        if counted:
            touched = f"(SELECT count(*) FROM w{i})"  # noqa: S608 - our own names
            given = rows or f"cardinality({_ARRAY.search(text)[0]})"  # type: ignore[index]
            counts.append(f"CASE WHEN {touched} = {given} THEN 1 ELSE CAST('w{i} missed ' || {touched} AS integer) END")
            text += " RETURNING 1"
        parts.append(f"w{i} AS ({text})")
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts) or '1'}"


def _spelt_rows(one: Write) -> int:
    """How many rows a text is written for; 0: for any number."""
    most = SPELT if one.statement.inserts else 1
    return len(one.rows) if len(one.rows) <= most else 0


def _counted_on(text: str, by: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + by}", text)


def _spelt(rows: int, values: re.Match[str]) -> str:
    width = len(_PLACE.findall(values[1]))
    return "VALUES " + ", ".join(_counted_on(values[1], row * width) for row in range(rows))


def _as_arrays(values: re.Match[str]) -> str:
    return "SELECT * FROM unnest" + re.sub(r"::\w+", r"\g<0>[]", values[1])  # noqa: S608 - SQLAlchemy's text


def _over_arrays(text: str) -> str:
    """UPDATE … FROM the rows that come as arrays."""
    changes, where = _TYPED.sub(r"given.c\1", text).split(" WHERE ", 1)
    places = dict(_TYPED.findall(text))
    rows = ", ".join(f"${place}::{kind}[]" for place, kind in places.items())
    return f"{changes} FROM unnest({rows}) AS given ({', '.join(f'c{place}' for place in places)}) WHERE {where}"


def _way_out(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    """Our own types say how they are read; what SQLAlchemy wraps around it costs as much again."""
    way: Convert | None = getattr(kind, "way_out", None)
    return way or kind.dialect_impl(dialect).result_processor(dialect, None)


def _execute(connection: Connection, plan: _Plan, values: Any, *, many: bool) -> tuple[Sequence[Any], int]:
    if connection.dispatch.before_cursor_execute:
        result = connection.exec_driver_sql(plan.text, values)
        return (result.all() if plan.make else ()), result.rowcount
    held = connection.connection
    cursor = None
    try:
        if connection.dialect.is_async:
            return _by_asyncpg(held.dbapi_connection, plan, values, many=many)
        cursor = held.cursor()
        if many:
            cursor.executemany(plan.text, values)
        else:
            cursor.execute(plan.text, values)
        rows = cursor.fetchall() if plan.make else ()
    except BaseException as error:  # a cancelled work too: its connection is in the middle of an answer and must go
        connection._handle_dbapi_exception(error, plan.text, values, cursor, None)
        raise
    touched = cursor.rowcount
    cursor.close()
    return rows, touched


class Undone(Exception):
    """A statement of this work failed and nobody heard of it: the database has kept nothing."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def transaction(connection: Connection, words: str) -> None:
    """BEGIN, COMMIT or ROLLBACK on PostgreSQL. Raises Undone for a COMMIT that was none."""
    held: Any = connection.connection.dbapi_connection
    try:
        answer = await_(_asked(held, words))
    except BaseException as error:
        connection._handle_dbapi_exception(error, words, (), None, None)
        raise
    if words == "COMMIT" and answer != "COMMIT":
        raise Undone


async def _asked(adapted: Any, words: str) -> str:
    try:
        return str(await adapted.driver_connection.execute(words))
    except Exception as error:
        adapted._handle_exception(error)
        raise


def _by_asyncpg(adapted: Any, plan: _Plan, values: Any, *, many: bool) -> tuple[Sequence[Any], int]:
    """Go past SQLAlchemy's cursor: 40 µs less a statement."""
    driver = adapted.driver_connection
    try:
        if many:
            await_(driver.executemany(plan.text, values))
            return (), -1
        if plan.make:
            rows = await_(driver.fetch(plan.text, *values))
            return rows, len(rows)
        count = await_(driver.execute(plan.text, *values)).rpartition(" ")[2]  # "UPDATE 1", "SAVEPOINT"
        return (), int(count) if count.isdecimal() else -1
    except Exception as error:
        adapted._handle_exception(error)
        raise


def _row(places: Sequence[_Place]) -> Callable[[Values], tuple[Any, ...]]:
    """Make what puts the given values into the text's order; those without a name are always the same."""
    names = [place.name if place.name is not None else f"always {i}" for i, place in enumerate(places)]
    always = {name: place.always for name, place in zip(names, places, strict=True) if place.name is None}
    ways = [(i, place.convert) for i, place in enumerate(places) if place.convert is not None]
    # itemgetter makes a tuple only from two names on.
    get = itemgetter(*names) if len(names) > 1 else lambda values: tuple(values[name] for name in names)

    def row(values: Values) -> tuple[Any, ...]:
        found = list(get({**values, **always} if always else values))
        for place, way in ways:
            found[place] = way(found[place])
        return tuple(found)

    return row


def _converted(make: Callable[[Iterable[Any]], Any], ways: tuple[tuple[int, Convert], ...], row: Sequence[Any]) -> Any:
    if not ways:
        return make(row)
    values = list(row)
    for place, way in ways:
        values[place] = way(values[place])
    return make(values)
