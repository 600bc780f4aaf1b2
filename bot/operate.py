"""What an operator does from the command line: migrate, check, town, invite, clock, journal, verify, retry."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import segno

from adapters import REGISTRY
from adapters.base import Hooked, Outside
from bot import anchors, sign, town, turn
from bot.app import App, make
from bot.audit import breaches
from bot.clock import real
from bot.looks import keep
from bot.settings import Settings, not_read
from bot.town.former import remembering
from storage import cases, inbox, letters, people
from storage import journal as chain
from storage.address import address
from storage.letters import LetterRow
from storage.looks import Look
from storage.migrate import check as check_version
from storage.migrate import upgrade
from storage.tx import Tx
from workflow import number as numbers
from workflow.outcome import Entry
from workflow.people import Town

T = TypeVar("T")


class NoDatabase(Exception):
    """There is no database here yet: run `tsunagi migrate`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def at_head(settings: Settings) -> None:
    """See that the database is there and fits; makes nothing. Raises NoDatabase, DatabaseBehind or DatabaseAhead."""
    url = address(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise NoDatabase
    check_version(settings.database_url)


def run(settings: Settings, work: Callable[[App], Awaitable[T]]) -> T:
    """Make the app, do one thing, close it. Raises what `at_head` raises before anything is touched."""
    at_head(settings)

    async def whole() -> T:
        app = make(settings)
        try:
            return await work(app)
        finally:
            await app.close()

    return asyncio.run(whole())


def migrate(settings: Settings, *, demo: bool = False, at: str | None = None) -> str:
    """Bring the database up to date; with `demo` mark a new one as a demonstration whose clock starts at `at`."""
    begin = _moment(at)
    settings.var.mkdir(parents=True, exist_ok=True)
    version = upgrade(settings.database_url)
    if demo or at:
        run(settings, lambda app: app.store.transact(lambda tx: people.mark_demo(tx, begin, real())))
    return f"The database is at version {version}{', a demonstration' if demo else ''}."


class NoSuchMoment(Exception):
    """A clock starts at a moment like 2026-06-01T09:00."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def _moment(text: str | None) -> datetime:
    from zoneinfo import ZoneInfo

    if text is None:
        return real()
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuchMoment from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo("Asia/Tokyo"))


class NotSetUp(Exception):
    """Some platform lacks what it needs; `tsunagi check` has said what."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"Not everything is set up: {', '.join(names)}.")


#: Where a platform is told the address of its hook.
ENTERED: Final = {
    "slack": "Event Subscriptions, Interactivity and Slash Commands",
    "telegram": "setWebhook, with the same secret_token",
    "line": "Messaging API, Webhook URL",
}


def check(settings: Settings) -> Iterator[str]:
    """Say line by line what is in order; the first thing that is not rises as a sentence. No platform is called.

    Raises NotSetUp after the last line when a platform lacks something.
    """
    at_head(settings)
    yield f"database: at head ({settings.database_url.split('@')[-1]})"

    async def look(app: App) -> tuple[Town, dict[str, Outside]]:
        outside = {name: one for name, one in app.deliverer.adapters.items() if isinstance(one, Outside)}
        return await app.store.read(app.towns.of), outside

    found, outside = run(settings, look)
    yield f"town: {found.name}, {len(found.agencies)} agencies, {len(found.staff)} people, final owner {found.final_owner}"
    settings.secret()
    yield "platforms: web chat and console (built in)"
    lacking = {name: _lacking(name, one, settings) for name, one in outside.items()} | _half(settings)
    for name, lacks in lacking.items():
        ready = f"ready ({_way_in(name, outside[name], settings)}); {_known(name, found)}" if not lacks else ""
        yield f"{name}: {ready or f'missing {lacks[0]}'}"
        yield from (f"{name}: missing {more}" for more in lacks[1:])
    yield f"heartbeat: {_heart(settings)}"
    yield from _not_here(found, frozenset(outside))
    for name in not_read():
        yield f"not read by this version: {name}"
    if wrong := [name for name, lacks in lacking.items() if lacks]:
        raise NotSetUp(wrong)


def _heart(settings: Settings) -> str:
    """Whom the auditor tells that all is well; of an address that may be a secret the host alone."""
    host = urlsplit(settings.heartbeat_url).hostname
    return (
        f"each minute to {host} while all is well"
        if host
        else "nobody outside is told that all is well (TSUNAGI_HEARTBEAT_URL)"
    )


def _lacking(name: str, adapter: Outside, settings: Settings) -> tuple[str, ...]:
    """What a platform's own settings lack, and the address that it posts to or that its links lead to."""
    if not settings.base_url:
        where = f"the address people reach us at; without it links lead to {settings.address}"
        return (*(one for one in adapter.missing() if "TSUNAGI_BASE_URL" not in one), f"TSUNAGI_BASE_URL: {where}")
    tested = f"{name.upper()}_API_URL" in settings.platforms  # a server on loopback in the platform's place
    if _without_hook(name, adapter, settings) or settings.base_url.startswith("https://") or tested:
        return adapter.missing()
    return (*adapter.missing(), f"TSUNAGI_BASE_URL: hooks need an https:// address, not {settings.base_url}")


def _half(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Platforms of which something is set, but not what turns them on."""
    given = settings.platforms
    return {
        name: (f"TSUNAGI_{begins}",) for name, (_place, begins) in REGISTRY.items()
        if begins and any(one.startswith(f"{name.upper()}_") for one in given)
        and not any(one.startswith(begins) for one in given)
    }  # fmt: skip


def _without_hook(name: str, adapter: Outside, settings: Settings) -> str:
    """How a platform is heard that posts nothing to us; empty: it posts."""
    given = settings.platforms
    if not isinstance(adapter, Hooked):
        return "sends only"
    if name == "slack" and "SLACK_APP_TOKEN" in given:
        return "Socket Mode"
    return "polling" if name == "telegram" and "TELEGRAM_SECRET_TOKEN" not in given else ""


def _way_in(name: str, adapter: Outside, settings: Settings) -> str:
    if way := _without_hook(name, adapter, settings):
        return way
    entered = f", to be entered at {ENTERED[name]}" if name in ENTERED else ""
    return f"HTTP hooks at {settings.base_url}/hooks/{name}{entered}; the platform has to reach it from the internet"


def _known(name: str, found: Town) -> str:
    if name == "mail":
        return f"{sum(bool(one.email) for one in found.staff.values())} people with an address"
    return f"{sum(any(p == name for p, _ in one.chat) for one in found.staff.values())} people linked"


def _not_here(found: Town, outside: frozenset[str]) -> Iterator[str]:
    """Platforms that agencies allow and that are not set up here: nobody is written to there."""
    for name in (name for name, (_place, begins) in REGISTRY.items() if begins and name not in outside):
        if allowing := [a.code for a in found.agencies.values() if name in a.platforms]:
            yield f"{name}: not set up, though allowed for {', '.join(allowing)}"


def town_load(settings: Settings, file: Path, *, apply: bool) -> Iterator[str]:
    """Read a town file; say what would change; write it when told to."""
    today = real().date()
    new = town.read(town.text_of(file), where=file.name, years=town.years_around(today))
    old = run(settings, lambda app: app.store.read(people.town_doc))
    lines = town.diff(old[0] if old else None, new)
    yield from lines or ["変更はありません。"]
    yield from _to_hand_over(settings, new)
    if apply:
        put_town(settings, new)
        yield "反映しました。"
        if moved := run(settings, _carried_over):
            yield f"開所日時が変わったため、{moved}件の相談の期限を見直しました。"
    elif lines:
        yield "まだ反映していません。反映するには --apply を付けてください。"


def _to_hand_over(settings: Settings, new: town.Doc) -> Iterator[str]:
    """Who leaves and still holds something, and where the list of it is."""
    staying = [one["code"] for one in new["staff"]]
    held = run(settings, lambda app: app.store.read(lambda tx: people.held_by_leavers(tx, staying, app.clock.now(tx))))
    for code in dict.fromkeys(one.staff for one in held):
        yield f"{code}: 引き継ぎが残っています。反映の前に、次の方へ渡してください: {settings.address}/town/people/{code}"


def put_town(settings: Settings, doc: town.Doc) -> None:
    run(settings, lambda app: app.store.transact(lambda tx: keep_town(tx, doc, app.clock.now(tx))))


async def _carried_over(app: App) -> int:
    """Bring every open wait under the calendar of now, with a bar on stderr while it takes long."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("期限を見直しています"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("件"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("recount", total=None)
        return await app.recounter.run(lambda done, all_: progress.update(task, completed=done, total=all_))


def keep_town(tx: Tx, doc: town.Doc, at: datetime | None = None) -> None:
    """Write a judged document as the town, at the clock's own moment unless it is given.

    With it stay the calendars that open waits were counted in, until `Recounter` has carried them over.
    """
    old = people.town_doc(tx, lock=True)
    doc = remembering(doc, old[0] if old else None)
    built = town.build(doc, version=0)
    version = people.put_town(
        tx, doc, built.agencies.values(), built.staff.values(), built.final_owner, code=built.code, name=built.name,
        at=at or real(),
    )  # fmt: skip
    letters.silence_gone(tx)
    loaded = {"version": version, "agencies": len(built.agencies), "staff": len(built.staff)}
    chain.append_town(tx, Entry("town.load", data=loaded), None, "console", at or real())


def town_show(settings: Settings, *, defaults: bool) -> str:
    if defaults:
        return town.defaults()
    found = run(settings, lambda app: app.store.read(people.town_doc))
    return town.show(found[0]) if found else "町の設定はまだありません。"


def person(built: Town, text: str) -> str:
    """A staff code by code or name. Raises KeyError-like sentence when nobody or several fit."""
    fitting = [s.code for s in built.staff.values() if text in (s.code, s.name)] or [
        s.code for s in built.staff.values() if text and text in s.name
    ]
    if len(fitting) != 1:
        raise NobodyNamed(text)
    return fitting[0]


class NobodyNamed(Exception):
    """There is nobody (or more than one) of that name in the town."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"「{text}」さんは町の設定に見つかりません(または複数います)。tsunagi town show でコードをご確認ください。"
        )


def invite(settings: Settings, who: str, *, paper: bool) -> str:
    """Make a one-time code; on paper with a QR code that opens the sign-in page."""

    async def made(app: App) -> tuple[str, Town, str]:
        def work(tx: Tx) -> tuple[str, Town, str]:
            built = app.towns.of(tx)
            staff = person(built, who)
            return (
                sign.invite(tx, staff, "paper" if paper else "code", None, app.clock.now(tx), "console"),
                built,
                staff,
            )

        return await app.store.transact(work)

    code, built, staff = run(settings, made)
    if not paper:
        return f"{built.staff[staff].name}さんの合言葉: {code} (10分間、1回だけ使えます) {settings.address}/signin"
    link = f"{settings.address}/signin?code={code}"
    from io import StringIO

    drawn = StringIO()
    segno.make(link, micro=False).terminal(drawn, compact=True)
    return f"{built.name} 招待状\n{built.staff[staff].name} さま\n合言葉 {code} (14日間、1回だけ)\n{link}\n{drawn.getvalue()}"


def clock_show(settings: Settings) -> str:
    async def now(app: App) -> str:
        moment, built = await app.store.read(lambda tx: (app.clock.now(tx), app.towns.of(tx)))
        return moment.astimezone(built.tz).isoformat(timespec="seconds")

    return run(settings, now)


def clock_advance(settings: Settings, span: str, *, asleep: bool) -> str:
    """Turn a demonstration's clock, ringing and delivering every due instant in order; `asleep` jumps."""

    async def turned(app: App) -> str:
        now, built = await app.store.read(lambda tx: (app.clock.now(tx), app.towns.of(tx)))
        moment = turn.until(span, now, built)
        rung = await (app.turner.jump(moment) if asleep else app.turner.to(moment))
        after = await app.turner.now()
        return f"{after.astimezone(built.tz).isoformat(timespec='seconds')} ({rung} rung)"

    return run(settings, turned)


class NoSuchNumber(Exception):
    """There is no case of that number."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} という番号の相談は見つかりませんでした。")


def journal(settings: Settings, text: str, *, with_letters: bool = False) -> list[dict[str, object]]:
    """A case's journal, oldest first, as contracts.md promises it; then what has become of its letters, in no chain."""
    found = numbers.find(text)
    number = found[0] if found else text

    def read(tx: Tx) -> list[dict[str, object]]:
        case = cases.load(tx, number, lock=False)
        if case is None:
            raise NoSuchNumber(text)
        lines: list[dict[str, object]] = [
            {
                "seq": line.seq, "at": line.at.isoformat(), "case": number, "kind": line.kind, "actor": line.actor,
                "surface": line.surface, "from": line.source, "to": line.dest, "data": line.data, "prev": line.prev,
                "hash": line.hash,
            }
            for line in chain.read(tx, case.id)
        ]  # fmt: skip
        brought = letters.of_case(tx, case.id, None)[::-1] if with_letters else []
        return lines + [_letter(row, number) for row in brought]

    async def exported(app: App) -> list[dict[str, object]]:
        """Who looks at the command line has no name here; that somebody did is kept before it is printed."""
        lines, now, tz = await app.store.read(lambda tx: (read(tx), app.clock.now(tx), app.towns.of(tx).tz))
        await keep(app.store, now.astimezone(tz).date(), [Look(now, None, "export", "console:journal", (number,))])
        return lines

    return run(settings, exported)


def _letter(row: LetterRow, number: str) -> dict[str, object]:
    """A letter beside the journal, with the journal's keys; who or which room, never an account, never a word of it."""
    state = "pending" if row.state == "leased" else row.state
    data = {
        "to": row.to_staff or row.to_room,
        "surface": row.surface,
        "kind": row.kind,
        "why": row.why,
        "tries": row.tries,
    }
    return {
        "seq": None, "at": (row.sent_at or row.created_at).isoformat(), "case": number, "kind": f"letter.{state}",
        "actor": row.by_staff, "surface": row.surface, "from": None, "to": None,
        "data": data | ({"again": True} if row.resent else {}), "prev": None, "hash": None,
    }  # fmt: skip


def verify(settings: Settings) -> tuple[bool, list[str]]:
    """Check every chain and every promise; name each breach."""

    async def found(app: App) -> list[str]:
        def held(tx: Tx) -> list[str]:
            outside = anchors.read(anchors.place(tx, app.anchors))
            return list(breaches(tx, app.clock.now(tx), outside))

        return await app.store.read(held)

    lines = run(settings, found)
    wrong = [line for line in lines if not line.startswith("ok")]
    return not wrong, lines


class NothingToRetry(Exception):
    """There is nothing of that id that could be tried again."""


def retry(settings: Settings, id_: int) -> str:
    """Try a parked event or a stuck letter once more. Raises NothingToRetry."""

    async def again(app: App) -> str:
        def letter(tx: Tx) -> bool:
            return letters.retry(tx, id_, app.clock.now(tx))

        if await app.store.transact(letter):
            await app.turner.settle()
            return f"手紙 {id_} をもう一度送りました。"
        if await app.receiver.again(id_):
            return f"できごと {id_} をもう一度うけとりました。"
        if any(one.id == id_ for one in await app.store.read(inbox.parked)):
            raise NothingToRetry("本文が残っていないため、もう一度お願いしてください。")
        raise NothingToRetry(f"{id_} は、保留中のできごとにも、とまっている手紙にもありません。")

    return run(settings, again)
