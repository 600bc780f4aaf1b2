"""Nothing personal leaves or lies open: people told by every road in are looked for in everything that comes out, and in a stolen database."""

import base64
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import httpx2
import pytest

from adapters.base import Address, Inbound, Said, Sender
from bot import console, logs, receive, sign
from bot.clock import real
from bot.commands import BOOK
from bot.operate import keep_town
from bot.pages import guarded, health, saying
from bot.pages.frame import COOKIE
from bot.town import read as town_file
from bot.voice import refusals
from storage import letters, people
from tests.bot.road_map import Form, kinds, read, roads
from tests.bot.seeds import Person, Seeds
from tests.fakes import line as of_line
from tests.fakes import slack as of_slack
from tests.journeys.test_platforms import ISHII, SATO, SECRET, SUZUKI, World, world  # noqa: F401  # a fixture
from tests.town import SAMPLE

#: Whose pages are gone through, and the one who has nothing to do with any of it.
READERS = ("suzuki", "takahashi", "yamamoto")
OTHER = "noguchi"
STREAMS = ("/events",)  #: an answer without an end
PAGES = 24  #: of each reader
#: Said last, for they end what the others speak of; 取消 and its like would only take back.
LAST = ("death", "close", "emergency")
Place = tuple[str, str | bytes]


@dataclass
class House:
    """A town with four platforms, and what was told and seen."""

    world: World
    seeds: Seeds = field(default_factory=Seeds)
    answers: list[httpx2.Response] = field(default_factory=list)
    strange: list[Place] = field(default_factory=list)  #: pages as others see them

    @property
    def town(self) -> Any:
        return self.world.town

    async def door(self, who: str) -> "Browser":
        """Somebody's browser; nobody's with an empty name."""
        transport = self.world.door._transport
        client = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        browser = Browser(self, client, who)
        await browser.come_in()
        return browser

    # -- what comes out

    def places(self, records: list[logging.LogRecord]) -> Iterator[Place]:
        """Everything that others may see, but for the database."""
        around = self.world
        yield (
            "letter to slack",
            repr((around.slack.calls, around.slack.messages, around.slack.whispers, around.slack.homes)),
        )
        yield "letter to telegram", repr((around.telegram.payloads, around.telegram.shown))
        yield "letter to line", repr((around.line.payloads, around.line.shown))
        for raw, letter in zip(around.post.raw, around.post.letters, strict=True):
            yield "letter by mail", raw
            yield "letter by mail", repr((letter.items(), letter.get_content()))
        for form in ("text", "json"):
            formatter = logs.written(form)
            lines: dict[str, list[str]] = defaultdict(list)
            for record in records:
                record.exc_text = None  # as the handler before has written it
                lines[record.name].append(formatter.format(record))
            yield from ((f"log ({form}) of {name}", "\n".join(said)) for name, said in lines.items())
        for answer in self.answers:
            path = urlsplit(str(answer.request.url)).path
            known = next((one.path for one in roads() if one.path == path), "another address")
            for name, value in answer.headers.multi_items():
                yield f"header {name} of {answer.request.method} {known}", value
        yield from self.strange

    async def figures(self) -> list[Place]:
        return [(path, (await self.world.door.get(path)).text) for path in ("/metrics", "/readyz", "/healthz")]

    def disk(self, var: Path) -> Iterator[Place]:
        """Names of files, and what they hold."""
        for one in var.rglob("*"):
            yield f"file name {one.name}", str(one)
            if one.is_file():
                yield f"file {one.name}", one.read_bytes()

    async def stolen(self) -> list[Place]:
        """The database as whoever took it reads it: without our programs and without the key."""
        url = self.town.app.settings.database_url
        return await _postgresql(url) if url.startswith("postgresql") else _sqlite(Path(url.removeprefix("sqlite:///")))


def _sqlite(path: Path) -> list[Place]:
    found: list[Place] = [(f"database {one.name[-4:]}", one.read_bytes()) for one in path.parent.glob(f"{path.name}*")]
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as taken:
        taken.text_factory = bytes
        tables = [name.decode() for (name,) in taken.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            cursor = taken.execute(f"SELECT * FROM {table}")
            rows = cursor.fetchall()
            for place, column in enumerate(cursor.description):
                values = (row[place] for row in rows if row[place] is not None)
                found.append(
                    (
                        f"column {table}.{column[0]}",
                        b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values),
                    )
                )
    taken.close()
    return found


async def _postgresql(url: str) -> list[Place]:
    taken = await asyncpg.connect(url)
    columns = await taken.fetch(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    found: list[Place] = []
    for schema, table, column in columns:
        rows = await taken.fetch(f'SELECT "{column}"::text FROM "{schema}"."{table}" WHERE "{column}" IS NOT NULL')
        found.append((f"column {table}.{column}", "\n".join(row[0] for row in rows)))
    await taken.close()
    return found


class Browser:
    """Follows links and fills in forms; it comes in again when something has put it out."""

    def __init__(self, house: House, client: httpx2.AsyncClient, who: str) -> None:
        self.house, self.client, self.who = house, client, who

    async def come_in(self) -> None:
        if self.who:
            token = await self.house.town.app.store.transact(lambda tx: sign.begin(tx, self.who, real()))
            self.client.cookies.delete(COOKIE)
            self.client.cookies.set(COOKIE, token)
        if "csrftoken" not in self.client.cookies:
            await self.client.get("/sign-in")

    async def get(self, path: str, **headers: str) -> str:
        answer = await self.client.get(path, headers=headers)
        self.house.answers.append(answer)
        return answer.text

    async def post(self, path: str, fields: dict[str, str]) -> httpx2.Response:
        fields = fields | {"csrftoken": self.client.cookies.get("csrftoken", "")}
        answer = await self.client.post(path, data=fields)
        self.house.answers.append(answer)
        if answer.headers.get("location", "").startswith("/sign-in"):
            await self.come_in()
        return answer

    async def walk(self, start: list[str], most: int = PAGES) -> tuple[dict[str, str], list[Form]]:
        """Follow links, one of each kind: the pages, and one form of each kind on them."""
        seen: set[str] = set()
        waiting = list(kinds(start, seen))
        pages: dict[str, str] = {}
        forms: dict[tuple[str, ...], Form] = {}
        while waiting and len(pages) < most:
            path = waiting.pop(0)
            pages[path] = await self.get(path)
            found, links = read(pages[path], path)
            forms = {one.kind: one for one in found} | forms
            waiting += kinds(links, seen)
        return pages, list(forms.values())


@pytest.fixture
async def house(world: World) -> AsyncIterator[House]:  # noqa: F811
    found = House(world)
    slack, telegram, line = f"{of_slack.TEAM}/{SUZUKI}", f"{ISHII}", SATO
    for platform, account, who in (("slack", slack, "suzuki"), ("telegram", telegram, "ishii"), ("line", line, "sato")):
        await found.town.app.store.transact(
            lambda tx, p=platform, a=account, w=who: people.link(tx, p, a, w, found.town.now)
        )  # type: ignore[misc]
    yield found


# -- every road in


async def told_on_the_pages(house: House) -> str:
    """The intake form in three steps, a post among colleagues, and a word with more beside it than it needs; the number."""
    desk = await house.door("suzuki")
    person = house.seeds.of("intake form")
    fields = {
        "concern": "elder_care", "urgency": "normal", "district": "anywhere", "consent": "full", "nonce": "0123456789abcdef",
        "name": person.name, "birth": person.birth, "contact": f"{person.phone} {person.address}", "story": person.story,
    }  # fmt: skip
    for step in ("1", "2", "3"):
        answer = await desk.post("/intake", {**fields, "step": step})
    place: str = answer.headers["location"]
    assert person.name in await desk.get(place), "the case page shows to its lead what was told"
    post = house.seeds.of("room post")
    words = f"きのうのこと {post}"
    await desk.post("/chat/say", {"room": "houkatsu-kita", "words": words, "nonce": "f00", "sure": guarded.sure(words)})
    assert post.name in await desk.get("/chat?room=houkatsu-kita")
    return place.rpartition("/")[2]


def every_word(number: str, person: Person) -> Iterator[str]:
    """Every word of the book with a person beside it; what is shown first is sent."""
    for command in sorted(BOOK.values(), key=lambda c: (c.name in LAST, c.name)):
        yield f"{command.word} {number} {person}"
        yield f"{command.word} {person.name}"
        if command.preview or command.who in ("lead", "coordinator", "sender"):
            yield "送る"


async def on_the_web(house: House, number: str) -> None:
    desk = await house.door("suzuki")
    for words in every_word(number, house.seeds.of("web chat, beside a word")):
        await desk.post("/chat/say", {"room": "me", "words": words})


async def outside(house: House, number: str) -> None:
    """Words, captions, names and what a platform tells besides, on each of them."""
    platforms, of = house.world, house.seeds.of
    names = iter(range(1, 10_000))

    async def hook(platform: str, headers: Any, body: bytes) -> None:
        answer = await platforms.door.post(f"/hooks/{platform}", headers=dict(headers), content=body)
        assert answer.status_code == 200
        if next(names) % 4 == 0:  # a conversation takes one message a second
            await platforms.town.later(minutes=1)

    async def slack(payload: Any) -> None:
        made = of_slack.hook(payload)
        await hook("slack", made.headers, made.body)

    async def telegram(**update: Any) -> None:
        body = httpx2.Request("POST", "http://x/", json={"update_id": 5_000 + next(names), **update}).content
        await hook("telegram", {"x-telegram-bot-api-secret-token": SECRET}, body)

    def note(**more: Any) -> dict[str, Any]:
        person = of("telegram, display name")
        who = {"id": ISHII, "is_bot": False, "first_name": person.name, "last_name": person.phone, "username": "x"}
        chat = {"id": ISHII, "type": "private", "first_name": person.name}
        return {"message_id": 900 + next(names), "date": 1_780_000_000, "from": who, "chat": chat, **more}

    async def line(message: dict[str, Any], **more: Any) -> None:
        await hook("line", *of_line.hook(platforms.line.event("message", SATO, message=message, known=False, **more)))

    for place, words in enumerate(every_word(number, of("outside, beside a word"))):
        if place % 3 == 0 or words == "送る":
            await slack(platforms.slack.says(SUZUKI, words))
        elif place % 3 == 1:
            await telegram(message=note(text=words))
        else:
            await line({"type": "text", "id": f"{next(names)}", "quoteToken": "q", "text": words})
    profile = {
        "user_profile": {"real_name": of("slack, display name").name, "display_name": str(of("slack, display name"))}
    }
    await slack(platforms.slack.says(SUZUKI, str(of("slack, bare words")), **profile))
    await slack(
        platforms.slack.says(
            SUZUKI,
            str(of("slack, caption")),
            subtype="file_share",
            files=[{"id": "F1", "title": str(of("slack, file name"))}],
        )
    )
    await slack(
        platforms.slack.commands(SUZUKI, f"辞退 {number} {of('slack, slash command')}")
        | {"user_name": of("slack, display name").name}
    )
    await slack(platforms.slack.commands(SUZUKI, str(of("slack, shared channel")), "C1"))
    photo = [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}]
    await telegram(message=note(text=str(of("telegram, bare words"))))
    await telegram(message=note(photo=photo, caption=str(of("telegram, caption"))))
    await telegram(edited_message=note(text=str(of("telegram, edited")), edit_date=1_780_000_001))
    await telegram(
        message=note(document={"file_id": "a", "file_unique_id": "b", "file_name": f"{of('telegram, file name')}.pdf"})
    )
    await telegram(
        message=note(
            contact={"phone_number": of("telegram, contact").phone, "first_name": of("telegram, contact").name}
        )
    )
    await line({"type": "text", "id": f"{next(names)}", "quoteToken": "q", "text": str(of("line, bare words"))})
    await line({"type": "file", "id": f"{next(names)}", "fileName": str(of("line, file name")), "fileSize": 9})
    await line(
        {
            "type": "location",
            "id": f"{next(names)}",
            "title": of("line, place").name,
            "address": of("line, place").address,
            "latitude": 1.0,
            "longitude": 1.0,
        }
    )
    await line(
        {"type": "text", "id": f"{next(names)}", "quoteToken": "q", "text": str(of("line, group"))},
        group="C" + "1" * 32,
    )
    stranger = platforms.line.event(
        "message",
        f"U{9:032x}",
        known=False,
        message={"type": "text", "id": "7", "quoteToken": "q", "text": str(of("line, a stranger"))},
    )
    await hook("line", *of_line.hook(stranger))


async def every_form(house: House, number: str, readers: tuple[str, ...]) -> int:
    """Fill in every form that any reader's pages have, as a person would; then each field that a POST road reads, alone."""
    filled = 0
    for who in readers:
        desk = await house.door(who)
        _, forms = await desk.walk(
            ["/", f"/cases/{number}", *(one.path for one in roads("GET") if not one.names and one.path not in STREAMS)]
        )
        for form in forms:
            person = house.seeds.of(f"form of {form.kind[0]}")
            plain = {name: value for name, kind, value in form.fields if kind not in ("button", "submit")}
            written = {
                n: str(person)
                for n, kind, _ in form.fields
                if kind in ("text", "search", "tel", "email", "textarea", "password")
            }
            for pressed in dict.fromkeys((n, v) for n, kind, v in form.fields if kind in ("button", "submit")) or [
                ("", "")
            ]:
                await desk.post(form.action, plain | written | dict([pressed] if pressed[0] else []))
                filled += 1
    for who in ("", "takahashi"):
        desk = await house.door(who)
        for road in roads("POST"):
            person = house.seeds.of(f"POST {road.path}")
            path = road.filled(**dict.fromkeys(road.names, "x"))
            for name in road.fields:
                await desk.post(
                    path, {"do": "letter" if name == "name" else "digits", name: f"{person.name} {person.phone}"}
                )
                filled += 1
    return filled


async def in_addresses(house: House, number: str) -> None:
    """In the parts of an address, in headers, and as an address that is none."""
    for who in ("", "suzuki", "takahashi"):
        desk = await house.door(who)
        for road in roads("GET"):
            if road.path in STREAMS:
                continue
            person = house.seeds.of(f"GET {road.path}")
            wishes = "&".join(
                f"{part}={quote(person.name if i % 2 else person.phone)}" for i, part in enumerate(road.parts)
            )
            await desk.get(f"{road.filled(**dict.fromkeys(road.names, quote(person.name)))}?{wishes}")
        person = house.seeds.of("an address that is none")
        for path in ("/{}", "/cases/{}", "/go/{}", "/static/{}.css", "/hooks/{}"):
            await desk.get(
                path.format(quote(person.name)), referer=f"http://127.0.0.1:8080/cases?q={quote(person.name)}"
            )
        gone = await house.door("")
        referer = f"http://127.0.0.1:8080/cases?q={quote(house.seeds.of('referer').name)}"
        fields = {"csrftoken": gone.client.cookies["csrftoken"], "words": str(house.seeds.of("sent without a session"))}
        house.answers.append(await gone.client.post("/chat/say", data=fields, headers={"referer": referer}))


async def elsewhere(house: House, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console, the town file's own notes, and a defect of ours that repeats what it was given."""
    town, of = house.town, house.seeds.of
    for words in [*every_word(number, of("console"))][::5]:
        await console.exchange(town.app, "suzuki", words)
    text = SAMPLE.read_text("utf-8").replace("[[agency]]", f"# {of('town file')}\n[[agency]]", 2)
    await town.app.store.transact(lambda tx: keep_town(tx, town_file(text), town.now))

    def falls(_ask: Any) -> Any:
        raise KeyError(str(of("an error's own words")))

    whole = BOOK["today"]
    monkeypatch.setitem(BOOK, "today", type(whole)(**{n: getattr(whole, n) for n in whole.__slots__} | {"run": falls}))  # type: ignore[attr-defined]
    said = Inbound("falls", Sender("web", "suzuki"), Address("web", "me"), Said(f"今日 {of('a defect')}"))
    await town.app.receiver.receive(said)
    monkeypatch.setitem(BOOK, "today", whole)
    await town.later(minutes=10)
    await town.app.receiver.again_due()


async def seen_by_others(house: House, number: str) -> None:
    """What somebody of another agency, and nobody at all, is shown."""
    for who in (OTHER, ""):
        desk = await house.door(who)
        start = [
            f"/cases/{number}",
            "/",
            *(one.path for one in roads("GET") if not one.names and one.path not in STREAMS),
        ]
        pages, _ = await desk.walk(start, 60)
        house.strange += [(f"page {path} as {who or 'nobody'} sees it", page) for path, page in pages.items()]


async def test_whatever_is_told_stays_where_it_was_told(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every road in, then everything that comes out, and the database without its key (I18).

    PostgreSQL is spared the pages that nobody has written anything on: they are the same program.
    """
    for theirs in ("httpx2", "aiohttp.access", "mail.log"):  # the browsers and platforms of this test
        caplog.set_level(logging.ERROR, theirs)
    caplog.set_level(logging.DEBUG)
    whole = house.town.app.settings.database_url.startswith("sqlite")
    number = await told_on_the_pages(house)
    for words in (f"見立て {number} 続ける", f"依頼 {number} 家計相談 ともしび"):
        await house.town.says("suzuki", words)
    await outside(house, number)
    await on_the_web(house, number)
    filled = await every_form(house, number, READERS if whole else READERS[:1])
    if whole:
        await in_addresses(house, number)
        await seen_by_others(house, number)
    await elsewhere(house, number, monkeypatch)
    await house.town.later(days=4)
    places = [*house.places(caplog.records), *await house.figures(), *house.disk(tmp_path), *await house.stolen()]
    caplog.clear()
    assert len(house.seeds.people) > (60 if whole else 30) and filled > (100 if whole else 40)
    assert {place.partition(" ")[0] for place, _ in places} >= {"letter", "log", "header", "column", "file", "/metrics"}
    assert not (found := house.seeds.find(places)), "\n".join(
        sorted({f"{one.place}: {one.writing} ({one.road}) {one.around!r}" for one in found})
    )


# -- the finder finds: a build with one leak each


def log_line(patch: pytest.MonkeyPatch) -> None:
    readable = receive._readable

    def telling(event: Inbound) -> Inbound:
        receive.log.info("heard %r", event.what)
        return readable(event)

    patch.setattr(receive, "_readable", telling)


def letter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refusals, "repeated", lambda found, _voice: found)


def address(patch: pytest.MonkeyPatch) -> None:
    what = saying._what

    def heard(form: dict[str, str]) -> Any:
        form["back"] = f"/chat?said={quote(form.get('words', ''))}"
        return what(form)

    patch.setattr(saying, "_what", heard)


def metric(patch: pytest.MonkeyPatch) -> None:
    readable, said = receive._readable, {}

    def counting(event: Inbound) -> Inbound:
        said[(repr(event.what),)] = 1
        return readable(event)

    patch.setattr(receive, "_readable", counting)
    collect = health._Shown.collect
    patch.setattr(
        health._Shown, "collect", lambda self: [*collect(self), health._by("tsunagi_words", "Words", ("words",), said)]
    )


def column(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receive, "_natural", lambda _tx, event: event.natural or None)


def turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(letters, "_doc", lambda _tx, _answer, doc: doc)


LEAKS = {
    log_line: "log (json) of bot.receive", letter: "letter to slack", address: "header location of POST /chat/say", metric: "/metrics",
    column: "column inbox.natural_key", turn: "column letters.doc",
}  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
async def test_a_leaky_build_is_found_and_its_place_is_named(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, leak: Any
) -> None:
    caplog.set_level(logging.INFO, "bot")
    leak(monkeypatch)
    desk, person = await house.door("suzuki"), house.seeds.of("a leaky build")
    number = await house.town.intake()
    await desk.post("/chat/say", {"room": "me", "words": f"困りごと {number} {person.name}"})
    made = of_slack.hook(house.world.slack.says(SUZUKI, f"依頼 {number} {person.name}"))
    await house.world.door.post("/hooks/slack", headers=dict(made.headers), content=made.body)
    await house.town.later(minutes=5)
    places = [*house.places(caplog.records), *await house.figures(), *house.disk(tmp_path), *await house.stolen()]
    found = house.seeds.find(places)
    assert LEAKS[leak] in {one.place for one in found}, {one.place for one in found}
    named = {one.place for one in found if one.place.partition(" ")[0] != "database"}
    assert named <= {LEAKS[leak], LEAKS[leak].replace("json", "text"), "column turns.choices"}, named
    assert {one.road for one in found} <= {"a leaky build", ""}


@pytest.mark.parametrize("writing", ["raw", "percent", "base64", "json", "html", "hex", "bytes"])
def test_the_finder_reads_every_writing(writing: str) -> None:
    seeds = Seeds()
    name = seeds.of("somewhere").name
    written = {
        "raw": f"… {name} …", "percent": quote(f"x{name}"), "json": json.dumps({"who": name}), "hex": f"a{name}".encode().hex(),
        "html": "".join(f"&#{ord(c)};" for c in name), "bytes": repr(name.encode()),
    }  # fmt: skip
    tries = (
        [base64.b64encode(f"{'x' * n}{name}".encode()) for n in range(3)] if writing == "base64" else [written[writing]]
    )
    for one in tries:
        assert [leak.place for leak in seeds.find([("here", one)])][:1] == ["here"]
    assert not seeds.find([("here", "鵺という鳥、代々、ながれ市水車町3丁目9番、090-0000-1000")])
