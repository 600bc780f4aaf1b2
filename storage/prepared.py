"""Statements that change rows and answer none, compiled once: the most of what executing costs is working out how, every time anew.

Only for module-level statements with the same parameters at every call. What SQLAlchemy would do is done here once: the text,
the order of the parameters, the conversion of each value. The event hooks still hear them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult

from storage.upsert import Both

Values: TypeAlias = Mapping[str, Any]
#: The statement's text, and for each place the parameter's name, its conversion, and what it always is when it has no name.
Plan: TypeAlias = tuple[str, tuple[tuple[str | None, Callable[[Any], Any] | None, Any], ...]]


class Prepared:
    """One such statement (or a pair of dialects)."""

    def __init__(self, statement: Any) -> None:
        self.statement: Any | Both = statement
        self._plans: dict[tuple[str, frozenset[str]], Plan] = {}

    def run(self, connection: Connection, dialect: str, given: Values | Sequence[Values] | None) -> CursorResult[Any]:
        """Execute it once, or once for each of several rows."""
        if given is None or isinstance(given, Mapping):
            values: Values = given or {}
            text, places = self._plan(connection, dialect, frozenset(values))
            return connection.exec_driver_sql(text, _row(places, values))
        text, places = self._plan(connection, dialect, frozenset(given[0]))
        return connection.exec_driver_sql(text, [_row(places, values) for values in given])

    def _plan(self, connection: Connection, dialect: str, names: frozenset[str]) -> Plan:
        key = (dialect, names)
        if key not in self._plans:
            self._plans[key] = self._made(connection, dialect, names)
        return self._plans[key]

    def _made(self, connection: Connection, dialect: str, names: frozenset[str]) -> Plan:
        statement = self.statement[dialect] if isinstance(self.statement, Mapping) else self.statement
        compiled = statement.compile(dialect=connection.dialect, column_keys=sorted(names))
        always = compiled.construct_params(dict.fromkeys(names))
        convert = compiled._bind_processors
        places = tuple(
            (name if name in names else None, convert.get(name), always.get(name)) for name in compiled.positiontup
        )
        return str(compiled), places


def _row(places: Sequence[tuple[str | None, Callable[[Any], Any] | None, Any]], values: Values) -> tuple[Any, ...]:
    return tuple(
        [
            (
                convert(values[name] if name is not None else always)
                if convert
                else values[name]
                if name is not None
                else always
            )
            for name, convert, always in places
        ]
    )
