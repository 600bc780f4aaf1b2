"""Frozen values to JSON documents and back: only the fields that differ from their defaults, moments as microseconds.

A field that this version does not know is an error, not a loss: a case written by a later version is left alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache, lru_cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Generic,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from orjson import loads

from storage.tables import from_micros, to_micros, to_text
from workflow.ladder import Policy

T = TypeVar("T")
Doc: TypeAlias = dict[str, Any]
Way: TypeAlias = Callable[[Any], Any]

_NEVER: Final = object()  #: equals no value, so a field without a default is always written


class Ways(NamedTuple):
    """How one type goes into JSON and comes back; None: as it is."""

    dump: Way | None
    load: Way | None


class Codec(Generic[T]):
    """Dumps and loads one dataclass; `without` names the fields that are kept in columns of their own."""

    def __init__(self, kind: type[T], *, without: tuple[str, ...] = ()) -> None:
        hints = get_type_hints(kind)
        own = [f for f in fields(cast(Any, kind)) if f.name not in without]
        self.kind = kind
        self._names = tuple(f.name for f in own)
        self._get = _getter(self._names)
        ways = {f.name: _ways(hints[f.name]) for f in own}
        self._dumps = tuple(
            (f.name, _NEVER if f.default is MISSING else f.default, ways[f.name].dump) for f in own
        )  # fmt: skip
        self._loads = {name: way.load for name, way in ways.items()}
        plain = {f.name: f.default for f in fields(cast(Any, kind)) if f.default is not MISSING}
        self._defaults = None if hasattr(kind, "__slots__") else plain

    def dump(self, value: T) -> Doc:
        doc: Doc = {}
        for (name, default, way), found in zip(self._dumps, self._get(value), strict=True):
            if found is default or found == default:
                continue
            doc[name] = found if way is None or found is None else way(found)
        return doc

    def load(self, doc: Mapping[str, Any], **columns: object) -> T:
        """Make the value again from its document and the fields kept in columns."""
        loads = self._loads
        for name, found in doc.items():
            way = loads[name]
            columns[name] = found if way is None or found is None else way(found)
        if self._defaults is None:
            return self.kind(**columns)
        # A value with a dict is filled at once: setting fifty frozen fields one by one costs more than reading their row.
        value = object.__new__(self.kind)
        value.__dict__.update(self._defaults, **columns)
        return value


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Read all the fields at once; attrgetter makes a tuple only from two names on."""
    if len(names) > 1:
        return cast(Callable[[Any], tuple[Any, ...]], attrgetter(*names))
    return lambda value: tuple(getattr(value, name) for name in names)


_whole: Final = cache(Codec)


def of(kind: type[T]) -> Codec[T]:
    """Find the codec for a whole dataclass."""
    return cast(Codec[T], _whole(cast(Any, kind)))


def _ways(hint: Any) -> Ways:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        return _ways(inner)  # None never reaches a way
    if origin is tuple:
        return _tuple_ways(get_args(hint))
    if hint in (int, str, bool, float):
        return Ways(None, None)
    if hint is datetime:
        return Ways(to_micros, from_micros)
    if hint is date:
        return Ways(date.isoformat, date.fromisoformat)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Ways(str, {member.value: member for member in hint}.__getitem__)
    if is_dataclass(hint):
        nested = of(cast(Any, hint))
        return Ways(nested.dump, nested.load)
    raise TypeError(f"No way to keep {hint!r} as JSON.")


def _tuple_ways(args: tuple[Any, ...]) -> Ways:
    """tuple[X, ...], or a few plain values such as tuple[str, str]."""
    if len(args) == 2 and args[1] is Ellipsis:
        dump, load = _ways(args[0])
        return Ways(
            list if dump is None else lambda found: [dump(one) for one in found],
            tuple if load is None else lambda found: tuple(load(one) for one in found),
        )
    if any(_ways(arg) != (None, None) for arg in args):
        raise TypeError(f"No way to keep a tuple of {args!r} as JSON.")
    return Ways(list, tuple)


@lru_cache(maxsize=1024)
def policy_text(policy: Policy) -> str:
    """Write a policy; a town has some forty, every wait carries one."""
    return to_text(of(Policy).dump(policy))


@lru_cache(maxsize=1024)
def policy_of(text: str) -> Policy:
    return of(Policy).load(cast(Doc, loads(text)))
