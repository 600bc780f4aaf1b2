"""Doors that must stay shut, by the route table: others' ids, forms of other sites, what was used once, what is too large or too slow."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn

from bot import serve, sign, slow
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from bot.pages.session import WAYS
from bot.settings import Settings
from storage import people, tables
from storage.tx import Tx
from tests.bot.road_map import roads
from tests.bot.test_pages import Browser, served, signed_in  # noqa: F401  # a fixture
from tests.town import Town

OTHER = "noguchi"  #: of an agency that has nothing to do with any of it
#: What a page says anew each time.
FRESH = re.compile(r'name="(?:nonce|csrftoken|handle)" value="[^"]*"|data-(?:session|events)="[^"]*"')


def plain(answer: httpx2.Response, id_: str) -> tuple[int, str, str]:
    """An answer without its own id and without what is new each time."""
    said = re.sub(rf'(?<=[/=">]){re.escape(id_)}(?=["&?#/<])', "ID", FRESH.sub("", answer.text))
    return answer.status_code, said, answer.headers.get("location", "").replace(id_, "ID")


async def everything(town: Town) -> dict[str, Any]:
    """What every table holds, but for the traces of somebody's being there."""
    apart = {"sessions", "inbox", "texts", "turns", "letters", "reads", "tries", "challenges", "marks"}

    def work(tx: Tx) -> dict[str, Any]:
        return {t.name: tx.execute(t.select()).all() for t in tables.metadata.sorted_tables if t.name not in apart}

    return await town.app.store.read(work)


async def ids(town: Town) -> dict[str, tuple[str, str]]:
    """Kind of id → (one that is another agency's business, one that nobody has)."""
    number = await town.accepted()
    await town.says("takahashi", "不在 鈴木 2026-06-10 2026-06-12")
    account = f"U{7:032x}"
    await town.app.store.transact(lambda tx: people.link(tx, "line", account, "abe", town.now, how="paper"))
    await town.app.store.transact(lambda tx: people.link_room(tx, "slack", "C77", "houkatsu-kita", "suzuki", town.now))
    letter, absence = await town.app.store.read(
        lambda tx: (tx.execute(tables.letters.select()).first(), people.absence_rows(tx, town.now)[0])
    )
    token = await town.app.store.transact(lambda tx: sign.begin(tx, "suzuki", real()))
    return {
        "number": (number, "385-267-52"), "code": ("suzuki", "nobody"), "who": ("suzuki", "nobody"), "id": (str(absence.id), "987654321"),
        "letter": (str(letter.id), "987654321"), "account": (account, f"U{8:032x}"), "conversation": ("C77", "C78"), "key": ("abc", "abd"),
        "session": (sign.hashed(token)[:16], sign.hashed("none")[:16]), "token": (f"{letter.token} 引受", f"{'x' * 21} 引受"), "agency": ("houkatsu-kita", "nowhere"),
        "room": ("houkatsu-kita", "nowhere"),
    }  # fmt: skip


#: What a form does, beside its ids: each of these is tried with each.
DOES = ("", "unlink", "unlink-room", "accept", "refuse", "keep", "up", "make-room", "out", "passkey-remove", "out-all", "letter:again", "letter:drop", "event:again", "event:drop")  # fmt: skip


async def test_an_id_of_somebody_elses_is_an_id_that_does_not_exist(lite: Town, served: Any) -> None:  # noqa: F811
    """Every parameter of a path and every field that names something: the same status and the same words."""
    known = await ids(lite)
    before = await everything(lite)
    other = await signed_in(lite, served, OTHER)
    tried, different = 0, []
    for road in roads("GET"):
        if not road.names:
            continue
        assert set(road.names) <= set(known), f"{road.path}: which id is that? Say it in ids()"
        theirs, nobodys = ({name: known[name][side].split()[0] for name in road.names} for side in (0, 1))
        answers = [plain(await other.get(road.filled(**one)), next(iter(one.values()))) for one in (theirs, nobodys)]
        tried += 1
        different += [f"GET {road.path}: {answers[0][0]} and {answers[1][0]}"] if answers[0] != answers[1] else []
    for road in roads("POST"):
        if road.path in ("/sign-in", "/signin", "/sign-out"):
            continue
        named = [field for field in road.fields if field in known]
        for do in DOES if "do" in road.fields else ("",):
            if road.path == "/ways" and do == "out-all":
                continue  # one's own
            answers = []
            for side in (0, 1):
                fields = {
                    name: known["letter" if do.startswith("letter") and name == "id" else name][side] for name in named
                }
                if do in ("unlink-room",):
                    fields["account"] = known["conversation"][side]
                place = {name: known[name][side].split()[0] for name in road.names}
                platform = "slack" if do.endswith("room") else "line"
                answer = await other.post(road.filled(**place), do=do, platform=platform, **fields)
                answers.append(plain(answer, next(iter({**place, **fields}.values()), "none")))
            tried += 1
            if [a[0::2] for a in answers[:1]] != [a[0::2] for a in answers[1:]]:
                different.append(f"POST {road.path} {do}: {answers[0][0::2]} and {answers[1][0::2]}")
    assert not different, "\n".join(different)
    assert tried > 40 and await everything(lite) == before, "and nothing has changed"


async def test_a_number_that_is_none_of_ones_business_is_answered_like_none(lite: Town) -> None:
    """By words too: the same refusal, but that one names the coordinator to ask."""
    number = await lite.accepted()
    told = [
        (await lite.tries(OTHER, words)).refused
        for words in (number, f"進む {number}", f"引受 {number}", f"割当 {number}")
    ]
    assert set(told) <= {"NotYourCase", "NoOfferWaiting", "NoSuchCase", "HeadsOnly", "NotYours", "WordsMissing"}
    shown = (await lite.tries(OTHER, number)).messages[0]
    assert not {"介護", "困窮", "ともしび", "石井"} & set(re.findall(r"\w+", shown.text))


# -- forms of other sites


@pytest.mark.parametrize("proof", ["nothing", "a made-up token", "another's token", "a bearer", "no cookie at all"])
async def test_no_form_without_its_token_does_anything(lite: Town, served: Any, proof: str) -> None:  # noqa: F811
    """Every POST of the table, by somebody signed in and by nobody."""
    await lite.app.store.transact(lambda tx: people.mark_demo(tx, lite.now, real()))
    desk = await signed_in(lite, served, "takahashi")
    elses = served()
    await elses.get("/sign-in")
    before = await everything(lite)
    fields = {
        "words": "受付 介護",
        "room": "me",
        "do": "make",
        "who": "suzuki",
        "theme": "dark",
        "advance": "1h",
        "concern": "elder_care",
        "start": "2026-06-02",
    }
    headers = {"authorization": "Bearer x"} if proof == "a bearer" else {}
    if proof in ("a made-up token", "another's token"):
        fields["csrftoken"] = "made.up" if proof == "a made-up token" else elses.client.cookies["csrftoken"]
    if proof == "no cookie at all":
        desk.client.cookies.clear()
    for road in roads("POST"):
        path = road.filled(**dict.fromkeys(road.names, "suzuki"))
        answer = await desk.client.post(path, data=fields, headers=headers)
        assert answer.status_code == 403, (road.path, answer.status_code)
        assert not {COOKIE, "theme"} & set(answer.cookies), road.path
    assert await everything(lite) == before


# -- once is once


async def test_whatever_is_used_once_is_used_once(lite: Town, served: Any) -> None:  # noqa: F811
    """Every kind of code that is made: brought twice, it opens or links once. The other ways in: test_ways_in, test_oidc, test_go."""
    found = set()
    for kind in sign.CODE_LIVES:
        if kind == "link":
            typed, carried = await lite.app.store.transact(lambda tx: sign.link_codes(tx, "suzuki", lite.now))
            uses = [
                await lite.app.store.transact(lambda tx, c=c: sign.use(tx, c, lite.now, "link"))
                for c in (carried, carried, typed)
            ]  # type: ignore[misc]
            assert uses[0] and not any(uses[1:]), "either ends both"
        else:
            code = await lite.app.store.transact(
                lambda tx, k=kind: sign.invite(tx, "suzuki", k, None, lite.now, "console")
            )  # type: ignore[misc]
            statuses = []
            for _ in range(2):
                visitor = served()
                await visitor.get("/sign-in")
                statuses.append((await visitor.post("/sign-in", code=code)).status_code)
            assert statuses == [303, 422], kind
        found.add(kind)
    assert found == {"code", "paper", "link"}, "a new kind of code: tell here how it is used twice"
    assert set(WAYS) == {"letter", "digits", "link", "app", "passkey", "oidc"}, (
        "a new way in: tell in test_ways_in how it is used twice"
    )


async def test_signing_in_changes_the_session_and_its_cookie_is_nobody_elses(lite: Town, served: Any) -> None:  # noqa: F811
    """A session that somebody planted is not the one that opens; by https every cookie is the host's own."""
    visitor = served()
    await visitor.get("/sign-in")
    visitor.client.cookies.set(COOKIE, "planted-by-somebody-else")
    code = await lite.app.store.transact(lambda tx: sign.invite(tx, "suzuki", "code", None, lite.now, "console"))
    answer = await visitor.post("/sign-in", code=code)
    kept = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")]
    assert len(kept) == 1 and "planted" not in kept[0] and "HttpOnly" in kept[0] and "samesite=lax" in kept[0].lower()
    planted = served()
    planted.client.cookies.set(COOKIE, "planted-by-somebody-else")
    assert (await planted.get("/chat")).status_code == 303


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "/%0d%0aset-cookie:x", "javascript:1", "/\t/evil.example", "https:evil.example", "///evil.example", "/..//evil.example"])  # fmt: skip
async def test_no_way_leads_to_another_host(lite: Town, served: Any, to: str) -> None:  # noqa: F811
    """Every field and part of an address that says where to go back to."""
    desk = await signed_in(lite, served, "suzuki")
    for road in roads("POST"):
        for field in ("next", "back"):
            if field not in road.fields or road.path in ("/sign-out",):
                continue
            answer = await desk.client.post(
                road.filled(**dict.fromkeys(road.names, "x")),
                data={
                    "csrftoken": desk.client.cookies["csrftoken"],
                    field: to,
                    "words": "今日",
                    "theme": "dark",
                    "advance": "1h",
                },
                headers={"referer": to if to.isprintable() else "x"},
            )
            where = answer.headers.get("location", "/")
            assert where.startswith("/") and not where.startswith(("//", "/\\")) and "\r" not in where, (
                road.path,
                where,
            )


def test_where_we_ask_others_is_said_by_the_operator_alone() -> None:
    """No address that we call comes from a page, a word or the town file: all are settings (SSRF)."""
    asked = {name for name in Settings.model_fields if name.endswith(("_url", "_issuer"))}
    assert asked == {
        "database_url",
        "base_url",
        "slack_api_url",
        "telegram_api_url",
        "line_api_url",
        "smtp_url",
        "heartbeat_url",
        "oidc_issuer",
    }
    for road in roads():
        assert not set(road.fields) & {"url", "link", "image", "callback", "webhook", *asked}, road.path


# -- too large, too slow, too clever: over a real socket


class Line:
    """A server on loopback as `tsunagi serve` runs it, and raw lines to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def say(self, *parts: bytes, pause: float = 0.0, most: float = 5.0) -> tuple[bytes, float]:
        """Send parts with pauses; what came back until the line was closed, and after how many seconds."""
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        came = asyncio.create_task(reader.read())
        try:
            for part in parts:
                if came.done():
                    break
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass
        try:
            said = await asyncio.wait_for(came, most)
        except ConnectionError:
            said = b""
        writer.close()
        return said, time.monotonic() - began


@pytest.fixture
async def line(lite: Town, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(slow.Patient, "arrives", 0.6)
    config = serve.told(routes(lite.app))
    config.lifespan = "off"
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    listening = serve.listen(Settings(port=0, _env_file=None))  # type: ignore[call-arg]
    running = asyncio.create_task(server._serve([listening]))
    while not server.started:  # noqa: ASYNC110 - it says so in no other way
        await asyncio.sleep(0.01)
    yield Line(listening.getsockname()[1])
    server.should_exit = True
    await running
    listening.close()


HEAD = b"POST /chat/say HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"


async def test_who_sends_a_byte_now_and_then_is_cut(line: Line) -> None:
    """Silence from the beginning, a slow head, a slow body, empty lines between requests: the line is gone when its time is over."""
    whole = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    crawling = {
        "silence": ((), 0.0), "head": (tuple(b"%c" % c for c in HEAD), 0.05), "body": ((HEAD + b"content-length: 900\r\n\r\n", *[b"a"] * 60), 0.05),
        "lines": ((whole, *[b"\r\n"] * 60), 0.05),
    }  # fmt: skip
    took = {name: (await line.say(*parts, pause=pause))[1] for name, (parts, pause) in crawling.items()}
    assert all(0.3 < seconds < 2.5 for seconds in took.values()), took
    said, _ = await line.say(whole + whole.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert said.count(b"200 OK") == 2, "and who is not slow is served"


async def test_ten_megabytes_are_refused_before_they_are_read(line: Line) -> None:
    """By the length that is said, and by what comes when none is said; a head without end is cut."""
    said, took = await line.say(HEAD + b"content-length: 10000000\r\nconnection: close\r\n\r\n" + b"a" * 1000)
    assert said.startswith(b"HTTP/1.1 413 ") and b"1MB" in said and took < 2
    pieces = [b"40000\r\n" + b"a" * 0x40000 + b"\r\n"] * 40
    said, took = await line.say(HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n", *pieces)
    assert said.startswith(b"HTTP/1.1 413 ") or said == b"", said[:80]
    said, _ = await line.say(
        b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"x-%d: " % n + b"a" * 9_000 + b"\r\n" for n in range(40)]
    )
    assert said == b"" or said.startswith(b"HTTP/1.1 4"), said[:80]


SMUGGLED = b"GET /healthz?smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length : 5\r\n",
        b"content-length: +5\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"x: y\r\n z: folded\r\ntransfer-encoding: chunked, identity\r\n",
        b"x: a\rcontent-length: 5\r\n",
        b"x\0y: z\r\n",
    ],
    ids=["both", "two", "space", "plus", "unknown", "folded", "bare", "null"],
)
async def test_a_request_that_two_could_read_in_two_ways_is_none(line: Line, head: bytes) -> None:
    said, _ = await line.say(HEAD + head + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert said.count(b"HTTP/1.1 200") == 0, said[:300]
