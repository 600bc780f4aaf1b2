"""What a kill leaves and what is compared: copies of databases, everything a town holds and has said, and how two of them differ."""

import asyncio
import hashlib
import json
import re
import shutil
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg
from sqlalchemy import select

from bot.audit import breaches
from bot.deliver import KEYS
from storage import seal, tables
from storage.prepared import Prepared
from storage.tx import Tx
from tests.kill.journeys import LINE, SLACK
from tests.kill.stops import Wire


@dataclass(frozen=True)
class World:
    """A database and what the platforms outside have taken so far."""

    url: str
    taken: Path


#: Everything of a town that is compared, as plain values; names that are made by chance are left out.
State: TypeAlias = dict[str, Any]

NUMBER: Final = re.compile(r"\d{3}-\d{3}-\d{2}")
_IDS: Final = re.compile(r"\b\d{18}\b")
#: Ids are made of the real time and of chance: larger than any moment in microseconds.
_ID: Final = 10**17


# -- copies


class Files:
    """SQLite: a file and its journal."""

    def __init__(self, url: str) -> None:
        self._folder = Path(url.removeprefix("sqlite:///")).parent

    def copy(self, url: str) -> str:
        made = self._folder / f"{uuid.uuid4().hex}.db"
        for end in ("", "-wal"):
            if (part := Path(_path(url) + end)).exists():
                shutil.copyfile(part, f"{made}{end}")
        return f"sqlite:///{made}"

    def drop(self, url: str) -> None:
        for path in self._folder.glob(f"{Path(_path(url)).name}*"):
            path.unlink()

    def rows(self, url: str) -> list[str]:
        connection = sqlite3.connect(f"file:{_path(url)}?mode=ro", uri=True)
        try:
            return [
                f"{name} {row}" for name, kept in _LASTING.items() for row in connection.execute(_select(name, kept))
            ]
        finally:
            connection.close()

    def close(self) -> None:
        pass


class Databases:
    """PostgreSQL: a template, and databases made of it; in memory a copy takes 20 ms."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._hand = self._runner.run(asyncpg.connect(_named(url, "postgres")))

    def copy(self, url: str) -> str:
        made = f"tsunagi_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{made}" TEMPLATE "{_name(url)}" STRATEGY FILE_COPY')
        return _named(url, made)

    def drop(self, url: str) -> None:
        self._run(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def rows(self, url: str) -> list[str]:
        return self._runner.run(self._rows(url))

    async def _rows(self, url: str) -> list[str]:
        each = (f"SELECT '{name} ' || t::text FROM ({_select(name, kept)}) t" for name, kept in _LASTING.items())
        connection = await asyncpg.connect(url)
        try:
            return [str(row[0]) for row in await connection.fetch(" UNION ALL ".join(each))]
        finally:
            await connection.close()

    def close(self) -> None:
        self._runner.run(self._hand.close())
        self._runner.close()

    def _run(self, statement: str) -> None:
        self._runner.run(self._hand.execute(statement))


Ground: TypeAlias = Files | Databases


def ground(url: str) -> Ground:
    return Files(url) if url.startswith("sqlite") else Databases(url)


#: Made by chance, or sealed: two towns that are the same differ in them.
_CHANCE: Final = frozenset(
    {"id", "number", "token", "lease", "face", "head", "hash", "prev", "key", "sealed", "digest", "word", "ref"}
)
#: What changes while a town lives, by table.
_LASTING: Final = {
    table.name: [column.name for column in table.columns if column.name not in _CHANCE]
    for table in tables.metadata.sorted_tables
    if table.name not in ("municipality", "agencies", "staff", "links", "households")
}


def _select(name: str, columns: Iterable[str]) -> str:
    listed = ", ".join(f'"{column}"' for column in columns)
    return f'SELECT {listed} FROM "{name}"'


def print_of(ground: Ground, world: World) -> str:
    """The same for two worlds of which the same will become: every committed row, and what the platforms have taken."""
    taken = world.taken.read_text() if world.taken.exists() else ""
    whole = "\n".join((*sorted(_unnamed(row) for row in ground.rows(world.url)), _unnamed(taken)))
    return hashlib.sha256(whole.encode()).hexdigest()


def _unnamed(text: str) -> str:
    return _NAMES.sub("", NUMBER.sub("", text))


#: Ids, the keys made of them, and what was sealed.
_NAMES: Final = re.compile(r"\b\d{18}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\"(?:digest|shut)\": ?\"[^\"]+\"")


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _name(url: str) -> str:
    return url.partition("?")[0].rsplit("/", 1)[1]


def _named(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


# -- everything that a town holds and has said

_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "cases": (
        "stage", "urgency", "lead", "interim", "version", "seq", "opened_at", "opened_by", "opened_agency", "district", "moved_at",
        "stage_at", "closed_at", "nearest_due", "nearest_kind", "waiting", "doc",
    ),
    "handoffs": (
        "no", "duty", "state", "sender", "from_agency", "to_agency", "to_staff", "holder", "offered_at", "ended_at", "doc",
    ),
    "waits": ("kind", "owner", "due_at", "opened_at", "rung", "urgency", "subject", "closed_at", "why", "policy", "doc"),
    "timers": ("rung", "due_at", "fired_at", "cancelled_at"),
    "journal": ("seq", "at", "kind", "actor", "surface", "source", "dest", "data"),
    "inbox": ("platform", "event_id", "natural_key", "conversation", "speaker", "kind", "received_at", "state"),
    "turns": ("staff", "preview", "choices", "at"),
    "marks": ("reader", "released"),
    "texts": ("by", "at"),
    "households": (),
    "room_posts": ("room", "by_staff"),
    "capacity_asks": ("duty", "to_agency", "answer"),
    "beats": ("name", "instant"),
}  # fmt: skip
_LETTER: Final = ("surface", "address", "kind", "to_staff", "to_room", "answer", "urgent", "must", "by_staff", "cause")
#: Compiled once in the process that forks.
_ROWS: Final = {
    name: Prepared(select(*(tables.metadata.tables[name].c[column] for column in columns or ("id",))))
    for name, columns in _KEPT.items()
}
_CASES: Final = Prepared(select(tables.cases.c.number).order_by(tables.cases.c.opened_at, tables.cases.c.id))
_MARKS: Final = Prepared(select(tables.marks.c.word))
_LETTERS: Final = Prepared(select(tables.letters))


def state_of(tx: Tx, wire: Iterable[Wire], now: Any) -> State:
    """Read everything that is compared."""
    plain = _Plain(
        {row.number: f"N{i}" for i, row in enumerate(tx.execute(_CASES))},
        sorted((row.word for row in tx.execute(_MARKS)), key=len, reverse=True),
    )
    found: State = {}
    for name, columns in _KEPT.items():
        rows = tx.execute(_ROWS[name])
        found[name] = sorted(json.dumps(plain(_opened(tx, row) if columns else []), ensure_ascii=False) for row in rows)
    found["letters"] = {}
    for row in tx.execute(_LETTERS):
        letter = json.dumps(plain(_opened(tx, [getattr(row, column) for column in _LETTER])), ensure_ascii=False)
        again = "resent" in row.doc
        found["letters"][str(row.id)] = [
            row.surface,
            row.address,
            letter,
            row.state,
            _key(row.id),
            row.ref or "",
            again,
        ]
    found["said"] = [
        [deed, name, to, key, plain([title, text, facts, choices])]
        for one in wire
        if one.path.exists()
        for deed, name, to, key, title, text, facts, choices in map(json.loads, one.path.read_text().splitlines())
        if name == one.name
    ]
    found["breaches"] = [line for line in breaches(tx, now) if not line.startswith("ok")]
    return found


def _opened(tx: Tx, row: Iterable[Any]) -> list[Any]:
    """A row with what is sealed in it opened: two towns seal the same in two ways."""
    return [
        one | {"shut": seal.opened(tx.keys, one["shut"])} if isinstance(one, dict) and "shut" in one else one
        for one in row
    ]


def _key(letter: int) -> str:
    return str(uuid.uuid5(KEYS, f"{letter}"))


class _Plain:
    """Makes values comparable: ids, case numbers and 目印 are chance, a moment is a text."""

    def __init__(self, numbers: Mapping[str, str], marks: Iterable[str]) -> None:
        self._numbers = numbers
        self._marks = re.compile("|".join(map(re.escape, marks)) or r"(?!)")

    def __call__(self, value: Any) -> Any:
        match value:
            case bool() | None:
                return value
            case int():
                return "id" if value > _ID else value
            case str():
                named = NUMBER.sub(lambda found: self._numbers.get(found[0], "N?"), value)
                return _IDS.sub("id", self._marks.sub("目印", named))
            case dict():
                return {self(k): self._of(k, v) for k, v in value.items()}
            case list() | tuple():
                return [self(one) for one in value]
        return str(value)

    def _of(self, name: str, value: Any) -> Any:
        # A text's id is the database's own count, which PostgreSQL goes on with after a rollback.
        return (
            name
            if (name in ("text", "texts", "digest") and not isinstance(value, str)) or name == "digest"
            else self(value)
        )


# -- how two towns differ

_Talk: TypeAlias = tuple[str, str]  #: (platform, conversation)


def differences(ought: State, found: State, leased: frozenset[str], to_end: bool) -> Iterator[str]:
    """Say how a town that was killed and went on differs from the one that was not.

    A letter may be `unknown` only when it was leased at the kill; only then may its message be missing. Towards the journey's end
    nothing follows such a message, and what leaves together with that is worded otherwise.
    """
    for name in _KEPT:
        for line, count in (Counter(found[name]) - Counter(ought[name])).items():
            yield f"{name}: {count} too many: {line}"
        for line, count in (Counter(ought[name]) - Counter(found[name])).items():
            yield f"{name}: {count} missing: {line}"
    yield from _of_letters(ought, found, leased)
    yield from _of_messages(ought, found, to_end)
    yield from found["breaches"]
    yield from found.get("errors", ())


def unknown(state: State) -> dict[str, _Talk]:
    """The letters whose fate is not known, by id."""
    return {id: (surface, to) for id, (surface, to, _, what, *_) in state["letters"].items() if what == "unknown"}


def _of_letters(ought: State, found: State, leased: frozenset[str]) -> Iterator[str]:
    for id in unknown(found):
        if id not in leased:
            yield f"letters: unknown, and it was not leased: {found['letters'][id]}"
        if found["letters"][id][0] == LINE:
            yield f"letters: unknown, and its platform knows its key: {found['letters'][id]}"
    if sum(again for *_, again in found["letters"].values()) > len(unknown(found)):
        yield "letters: more are sent once more than are unknown"
    stale = {*unknown(found).values()}  #: what follows a copy needs to know that the copy is there

    def told(state: State) -> Counter[tuple[str, str]]:
        return Counter(
            (letter, "sent" if what == "unknown" else what)
            for _, _, letter, what, _, _, again in state["letters"].values()
            if not again
        )

    few, many = told(ought) - told(found), told(found) - told(ought)
    for (letter, what), count in few.items():
        if not any(json.loads(letter)[:2] == list(talk) for talk in stale):
            yield f"letters: {count} missing, {what}: {letter}"
    for (letter, what), count in many.items():
        yield f"letters: {count} too many, {what}: {letter}"


def _shown(state: State) -> dict[str, tuple[_Talk, str]]:
    """What lies in the conversations now, by key: the last words of each message."""
    return {key: ((name, to), json.dumps(words, ensure_ascii=False)) for _, name, to, key, words in state["said"]}


def _first_time(state: State) -> Counter[tuple[_Talk, str]]:
    """What lies there and is not said once more, marked as that."""
    again = {letter[4] for letter in state["letters"].values() if letter[6]}
    return Counter(said for key, said in _shown(state).items() if key not in again)


def _of_messages(ought: State, found: State, to_end: bool) -> Iterator[str]:
    keys = {letter[4]: letter for letter in found["letters"].values()}
    for key, count in Counter((key, name) for deed, name, _, key, _ in found["said"] if deed == "send").items():
        if count > 1 and key[1] != LINE:
            yield f"messages: sent {count} times on {key[1]}: {keys.get(key[0])}"
    for key, (talk, words) in _shown(found).items():
        if key not in keys:
            yield f"messages: no letter says this to {talk}: {words}"
    lost = Counter(unknown(found).values())
    reached = Counter(unknown(found)[id] for id in unknown(found) if found["letters"][id][4] in _shown(found))
    here, there = _first_time(found), _first_time(ought)
    few, many = Counter[_Talk](), Counter[_Talk]()
    for (talk, words), count in (there - here).items():
        few[talk] += count
        if few[talk] > lost[talk] and not (to_end and lost[talk]):
            yield f"messages: missing to {talk}: {words}"
    for (talk, words), count in (here - there).items():
        many[talk] += count
        if many[talk] > reached[talk] and not (to_end and lost[talk]):
            yield f"messages: too many to {talk}: {words}"
    for surface, to, letter, what, _, ref, _ in found["letters"].values():
        if what == "sent" and surface in (SLACK, LINE) and ref not in _shown(found):
            yield f"letters: said to be sent to {(surface, to)}, and it is not there: {letter}"
