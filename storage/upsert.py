"""INSERT … ON CONFLICT for both databases: the one place that knows that there are two dialects of it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Table
from sqlalchemy.dialects import postgresql, sqlite

#: The same statement by the name of the dialect; `Tx.execute` chooses.
Both: TypeAlias = Mapping[str, Any]


def insert_new(table: Table, *returning: Any, given: Select[Any] | None = None) -> Both:
    """Insert unless any unique key is there already; with `returning`, no row means that it was.

    The row is what `given` selects, under the names of its columns.
    """
    found: dict[str, Any] = {}
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert)):
        statement: Any = insert(table)
        if given is not None:
            statement = statement.from_select(given.selected_columns.keys(), given)
        statement = statement.on_conflict_do_nothing()
        found[name] = statement.returning(*returning) if returning else statement
    return found


def insert_or_update(
    table: Table,
    keys: Sequence[str],
    *replaced: str,
    where: ColumnElement[bool] | None = None,
    newer: str | None = None,
    returning: Sequence[Any] = (),
) -> Both:
    """Insert, or replace the columns named in the row with the same keys.

    `where` looks at the row that is there; `newer` names a column whose new value must be the greater.
    """
    found: dict[str, Any] = {}
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert)):
        statement: Any = insert(table)
        changes = {column: statement.excluded[column] for column in replaced}
        condition = where if newer is None else table.c[newer] < statement.excluded[newer]
        statement = statement.on_conflict_do_update(index_elements=list(keys), set_=changes, where=condition)
        found[name] = statement.returning(*returning) if returning else statement
    return found
