"""Every way in through the real door: six digits, a link, an app with the clock turned, spare words, sessions; and who is never locked out."""

import asyncio
import html
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest
from sqlalchemy import text

from adapters.mail import Mail
from bot import sign
from bot.app import once
from bot.operate import keep_town
from bot.pages import routes
from bot.pages.frame import COOKIE
from storage import journal, people
from storage.tx import Tx
from tests.fakes.mail import Post
from tests.fakes.mail import served as mail_served
from tests.town import Town, sample

LINE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari Line/14.16.0"


class Browser:
    """Somebody's browser at some address."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, url: str) -> httpx2.Response:
        return await self.client.get(url)

    async def post(self, url: str, **fields: str) -> httpx2.Response:
        if "csrftoken" not in self.client.cookies:
            await self.client.get("/sign-in")
        return await self.client.post(url, data={"csrftoken": self.client.cookies.get("csrftoken", ""), **fields})

    async def enter(self, **fields: str) -> int:
        return (await self.post("/sign-in", **fields)).status_code

    async def who(self) -> str:
        """Whose pages these are; empty at the door."""
        found = re.search(r'data-as="(\w+)"', (await self.get("/help")).text)
        return found[1] if found else ""


Browsers = Callable[..., Browser]


async def with_mail(town: Town, post: Post) -> None:
    """Mail is set up here, and 鈴木 and 森 have an address."""
    doc = sample()
    for one in doc["staff"]:
        if one["code"] in ("suzuki", "mori"):
            one["email"] = f"{one['code']}@town.example"
    await town.app.store.transact(lambda tx: keep_town(tx, doc, town.now))
    there = Mail(f"smtp://127.0.0.1:{post.port}", "つなぎ <tsunagi@town.example>", "http://127.0.0.1:8080")
    town.app.deliverer.adapters["mail"] = there
    town.app.towns._outside = frozenset({"mail"})
    town.app.towns._town = None


async def opened(town: Town) -> AsyncIterator[Browsers]:
    town.clock.held = town.now
    app, clients = routes(town.app), []

    def browser(host: str = "192.0.2.7", **headers: str) -> Browser:
        transport = httpx2.ASGITransport(app=app, client=(host, 4711), raise_app_exceptions=False)
        clients.append(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers))
        return Browser(clients[-1])

    yield browser
    for client in clients:
        await client.aclose()


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with mail_served() as found:
        yield found


@pytest.fixture
async def browsers(lite: Town, post: Post) -> AsyncIterator[Browsers]:
    await with_mail(lite, post)
    async for found in opened(lite):
        yield found


async def pass_by(town: Town, **span: float) -> None:
    """The machine's own clock goes on."""
    assert town.clock.held is not None
    town.clock.held += timedelta(**span)


async def letter(town: Town, post: Post) -> tuple[str, str]:
    """The newest letter: its digits and its link."""
    before = len(post.letters)
    for _ in range(50):
        await once(town.app)
        await town.app.deliverer.finish()
        if len(post.letters) > before:
            break
    words = post.letters[-1].get_content().replace("\r", "")
    digits, link = re.search(r"^(\d{3} \d{3})$", words, re.MULTILINE), re.search(r"http\S+", words)
    assert digits and link, words
    return digits[1], link[0]


async def asked(browser: Browser, name: str = "suzuki") -> str:
    """Ask for a letter; the handle that the page hides."""
    answer = await browser.post("/sign-in", do="letter", name=name)
    assert answer.status_code == 200, answer.text
    handle = re.search(r'name="handle" value="([^"]+)"', answer.text)
    assert handle
    return handle[1]


async def began(town: Town, browser: Browser, who: str) -> Browser:
    """Somebody who has come in by a fresh one-time word."""
    code = await town.app.store.transact(lambda tx: sign.invite(tx, who, "code", None, town.now, "console"))
    assert await browser.enter(code=code) == 303
    return browser


async def lines(town: Town, *kinds: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    found = await town.app.store.read(lambda tx: journal.tail(tx, 0, 5_000))
    return [(one.kind, one.actor, dict(one.data)) for one in found if one.kind in kinds]


# -- six digits and a link


async def test_six_digits_by_mail_open_once_in_the_browser_that_asked(
    lite: Town, post: Post, browsers: Browsers
) -> None:
    browser, stranger = browsers(), browsers("198.51.100.9")
    handle = await asked(browser)
    digits, _ = await letter(lite, post)
    assert post.envelopes[-1][1] == ("suzuki@town.example",)
    assert "482" not in post.letters[-1]["Subject"] and not re.search(r"\d{3}", post.letters[-1]["Subject"])
    others = await asked(stranger, "mori")
    assert await stranger.enter(do="digits", handle=others, digits=digits) == 422, "somebody else's question"
    wide = digits.translate({ord(str(n)): 0xFF10 + n for n in range(10)})
    assert await browser.enter(do="digits", handle=handle, digits=wide, next="/today") == 303
    assert await browser.who() == "suzuki"
    assert await browsers("203.0.113.5").enter(do="digits", handle=handle, digits=digits) == 422, "used"
    assert ("town.sign_in", "suzuki", {"person": "suzuki", "way": "letter"}) in await lines(lite, "town.sign_in")


async def test_the_link_acts_on_a_press_and_ends_the_digits(lite: Town, post: Post, browsers: Browsers) -> None:
    handle = await asked(waiting := browsers(), "SUZUKI@town.example")
    digits, link = await letter(lite, post)
    phone = browsers("203.0.113.5")
    path = link.removeprefix("http://127.0.0.1:8080")
    for _ in range(3):  # preview bots
        assert "鈴木さんとして" in (await phone.get(path)).text
    assert not await phone.who()
    code = path.partition("code=")[2]
    assert await phone.enter(do="link", code=code) == 303 and await phone.who() == "suzuki"
    assert (await browsers().get(path)).status_code == 404
    assert await waiting.enter(do="digits", handle=handle, digits=digits) == 422


async def test_nobody_learns_at_the_door_who_is_known(lite: Town, post: Post, browsers: Browsers) -> None:
    def shown(answer: httpx2.Response) -> str:
        return re.sub(r'name="(handle|csrftoken)" value="[^"]*"|name="code" value="[^"]*"', "", answer.text)

    known, unknown = browsers(), browsers("198.51.100.9")
    pages = [
        await one.post("/sign-in", do="letter", name=name) for one, name in ((known, "suzuki"), (unknown, "nobody"))
    ]
    assert shown(pages[0]) == shown(pages[1]) and pages[0].status_code == pages[1].status_code == 200
    wrong = []
    for one, page in zip((known, unknown), pages, strict=True):
        handle = re.search(r'name="handle" value="([^"]+)"', page.text)
        assert handle
        wrong.append(await one.post("/sign-in", do="digits", handle=handle[1], digits="000 000"))
    assert shown(wrong[0]) == shown(wrong[1]) and "あと4回" in wrong[0].text
    apps = [
        await one.post("/sign-in", do="app", name=name, digits="000000")
        for one, name in ((known, "x"), (unknown, "mori"))
    ]
    assert [a.status_code for a in apps] == [422, 422]
    for _ in range(3):
        more = [
            await one.post("/sign-in", do="letter", name=name) for one, name in ((known, "suzuki"), (unknown, "nobody"))
        ]
        assert [one.status_code for one in more] in ([200, 200], [429, 429])
    assert [one.status_code for one in more] == [429, 429]


async def test_digits_have_five_tries_and_ten_minutes(lite: Town, post: Post, browsers: Browsers) -> None:
    handle = await asked(browser := browsers())
    digits, _ = await letter(lite, post)
    wrong = f"{(int(digits.replace(' ', '')) + 1) % 1_000_000:06d}"
    assert [await browser.enter(do="digits", handle=handle, digits=wrong) for _ in range(5)] == [422] * 5
    assert await browsers("203.0.113.5").enter(do="digits", handle=handle, digits=digits) == 422, (
        "its tries are used up"
    )
    await pass_by(lite, minutes=30)
    handle = await asked(browser)
    digits, link = await letter(lite, post)
    await pass_by(lite, minutes=10)
    assert await browser.enter(do="digits", handle=handle, digits=digits) == 422
    assert (await browser.get(link)).status_code == 404


async def test_no_digits_lie_about_in_the_open(lite: Town, post: Post, browsers: Browsers) -> None:
    await asked(browsers())
    digits, link = await letter(lite, post)

    def everything(tx: Tx) -> str:
        tables = ("letters", "challenges", "tries", "journal")
        return repr([tx.connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])

    kept = await lite.app.store.read(everything)
    assert digits not in kept and digits.replace(" ", "") not in re.sub(r"\d{7,}", "", kept)
    assert link.partition("code=")[2] not in kept
    assert "192.0.2.7" not in kept, "no address of anybody"
    assert digits not in (await (await began(lite, browsers(), "suzuki")).get("/chat?room=me")).text


@pytest.mark.parametrize("way", ["digits", "link"])
async def test_of_two_who_bring_one_code_at_once_one_comes_in(town: Town, post: Post, way: str) -> None:
    """On both databases, by two processes' worth of browsers."""
    await with_mail(town, post)
    async for browsers in opened(town):
        handle = await asked(first := browsers())
        digits, link = await letter(town, post)
        given = {"handle": handle, "digits": digits} if way == "digits" else {"code": link.partition("code=")[2]}
        both = (first, browsers("203.0.113.5"))
        await both[1].get("/sign-in")
        codes = await asyncio.gather(*(one.enter(do=way, **given) for one in both))
        assert sorted(codes) in ([303, 404], [303, 422])


# -- an authenticator app, with the clock turned


async def enrolled(town: Town, browsers: Browsers, who: str = "suzuki") -> pyotp.TOTP:
    """Enrol an app on the page, from the QR code's own address."""
    mine = await began(town, browsers(), who)
    await mine.post("/ways", do="app")
    page = html.unescape((await mine.get("/ways")).text)
    secret = re.search(r"<b>((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})</b>", page)
    assert secret and "data:image/svg" in page
    app = pyotp.TOTP(secret[1].replace(" ", ""))
    assert (await mine.post("/ways", do="app-confirm", digits="000000")).status_code == 422
    assert (await mine.post("/ways", do="app-confirm", digits=app.at(town.clock.machine()))).status_code == 303
    assert "使っています" in (await mine.get("/ways")).text
    return app


async def test_an_apps_digits_open_within_a_step_and_never_twice(lite: Town, browsers: Browsers) -> None:
    app = await enrolled(lite, browsers)

    def digits(seconds: int) -> str:
        return app.at(lite.clock.machine() + timedelta(seconds=seconds))

    assert await browsers().enter(do="app", name="suzuki", digits=digits(0)) == 422, "the step that confirmed it"
    await pass_by(lite, minutes=5)
    for off in (-61, 61):
        assert await browsers().enter(do="app", name="suzuki", digits=digits(off)) == 422
    desk = browsers()
    assert (
        await desk.enter(do="app", name="suzuki@town.example", digits=digits(-30)) == 303
        and await desk.who() == "suzuki"
    )
    assert await browsers().enter(do="app", name="suzuki", digits=digits(-30)) == 422, "used"
    await pass_by(lite, seconds=30)
    assert await browsers("203.0.113.5").enter(do="app", name="suzuki", digits=digits(30)) == 303, "half a minute fast"
    await pass_by(lite, hours=1)
    assert await browsers("203.0.113.6").enter(do="app", name="mori", digits=digits(0)) == 422, "not theirs"


async def test_ten_spare_words_on_paper_each_once(lite: Town, browsers: Browsers) -> None:
    mine = await began(lite, browsers(), "suzuki")
    sheet = (await mine.post("/ways", do="recovery")).text
    words = re.findall(r"<b>([B-Z]{4}-[B-Z]{4})</b>", sheet)
    assert len(set(words)) == 10
    assert await browsers().enter(do="app", name="suzuki", digits=words[0].lower().replace("-", " ")) == 303
    assert await browsers().enter(do="app", name="suzuki", digits=words[0]) == 422
    assert await browsers().enter(do="app", name="mori", digits=words[1]) == 422
    assert "のこり9つ" in (await mine.get("/ways")).text
    await mine.post("/ways", do="recovery")
    assert await browsers("203.0.113.5").enter(do="app", name="suzuki", digits=words[2]) == 422, "of an older paper"


# -- nobody locks anybody out


async def test_wrong_tries_from_elsewhere_lock_nobody_out(lite: Town, post: Post, browsers: Browsers) -> None:
    """A stranger uses up 鈴木's account; a known device, a fresh word and the digits of a letter still open."""
    app = await enrolled(lite, browsers)
    known = browsers("192.0.2.50")
    await began(lite, known, "suzuki")
    await known.post("/sign-out")
    codes = [await browsers(f"198.51.100.{n}").enter(do="app", name="suzuki", digits="000000") for n in range(8)]
    assert codes == [422] * 5 + [429] * 3, "per account, whatever the address"
    await pass_by(lite, seconds=40)

    def now() -> str:
        return app.at(lite.clock.machine())

    assert await browsers("203.0.113.5").enter(do="app", name="suzuki", digits=now()) == 429, "a new browser waits"
    assert await known.enter(do="app", name="suzuki", digits=now()) == 303, "a known one does not"
    assert await (await began(lite, browsers("203.0.113.6"), "suzuki")).who() == "suzuki"
    handle = await asked(fresh := browsers("203.0.113.7"))
    digits, _ = await letter(lite, post)
    assert await fresh.enter(do="digits", handle=handle, digits=digits) == 303
    await pass_by(lite, minutes=2)
    assert await browsers("203.0.113.5").enter(do="app", name="suzuki", digits=now()) == 303, "and then anybody"


async def test_delays_grow_and_are_the_same_in_every_process(lite: Town, browsers: Browsers) -> None:
    """Rows, not memory: a second application over the same database knows of the tries of the first."""

    async def tries(browser: Browser, most: int) -> int:
        for n in range(most):
            if await browser.enter(code="000000000") == 429:
                return n
        return most

    assert await tries(browsers(), 9) == 5
    async for others in opened(lite):  # it holds the clock anew, at the same moment
        assert await tries(others(), 9) == 0
        assert await tries(others("198.51.100.9"), 3) == 3, "another address has tries of its own"
    for minutes in (1, 2, 4):
        await pass_by(lite, minutes=minutes, seconds=1)
        assert await tries(browsers(), 9) == 1, minutes
    await pass_by(lite, hours=2)
    assert await tries(browsers(), 9) == 5, "forgotten"


async def test_a_forged_device_is_no_known_one(lite: Town, browsers: Browsers) -> None:
    for n in range(6):
        await browsers(f"198.51.100.{n}").enter(do="app", name="suzuki", digits="000000")
    forged = browsers()
    forged.client.cookies.set("device", "WyJ4IixbInN1enVraSJdLCIyMDI2LTA2LTAxVDAwOjAwOjAwKzAwOjAwIl0.AAAA")
    assert await forged.enter(do="app", name="suzuki", digits="000000") == 429


async def test_what_is_refused_is_a_line_without_what_was_typed(lite: Town, browsers: Browsers) -> None:
    await browsers().enter(do="app", name="suzuki", digits="123456")
    await browsers("198.51.100.9").enter(code="987654321")
    await browsers().enter(do="passkey", credential="{}")
    await browsers().get("/sign-in/oidc?state=x&code=y")
    assert await lines(lite, "town.sign_in_refused") == [
        ("town.sign_in_refused", None, {"person": "suzuki", "way": "app", "why": "unknown"}),
        ("town.sign_in_refused", None, {"person": None, "way": "code", "why": "wrong"}),
    ]


# -- sessions


async def test_a_session_ends_unused_and_at_the_latest_after_half_a_day(lite: Town, browsers: Browsers) -> None:
    used, idle = await began(lite, browsers(), "suzuki"), await began(lite, browsers(), "mori")
    for _ in range(11):
        await pass_by(lite, minutes=65)
        assert await used.who() == "suzuki"
    assert not await idle.who()
    await pass_by(lite, minutes=10)
    assert not await used.who(), "twelve hours are over"


async def test_a_shared_machine_keeps_nobody(lite: Town, browsers: Browsers) -> None:
    code = await lite.app.store.transact(lambda tx: sign.invite(tx, "suzuki", "code", None, lite.now, "console"))
    browser = browsers()
    answer = await browser.post("/sign-in", code=code, shared="1")
    cookies = answer.headers.get_list("set-cookie")
    assert [one for one in cookies if one.startswith(f"{COOKIE}=") and "max-age" not in one.lower()], cookies
    assert not [one for one in cookies if one.startswith("device=")]
    await pass_by(lite, minutes=14)
    assert await browser.who() == "suzuki"
    await pass_by(lite, minutes=14)
    assert await browser.who() == "suzuki", "it is in use"
    await pass_by(lite, minutes=15)
    assert not await browser.who()


async def test_the_towns_own_times_hold(lite: Town, browsers: Browsers) -> None:
    doc = sample()
    doc["limits"] = {**doc["limits"], "session_hours": 1, "session_idle_minutes": 20}
    await lite.app.store.transact(lambda tx: keep_town(tx, doc, lite.now))
    browser = await began(lite, browsers(), "suzuki")
    await pass_by(lite, minutes=21)
    assert not await browser.who()


async def test_every_sign_in_has_a_token_of_its_own(lite: Town, browsers: Browsers) -> None:
    browser = await began(lite, browsers(), "suzuki")
    before = browser.client.cookies[COOKIE]
    await began(lite, browser, "suzuki")
    assert browser.client.cookies[COOKIE] != before
    old = browsers()
    old.client.cookies.set(COOKIE, before)
    assert not await old.who(), "the token that this browser had before has ended"


async def test_one_sees_where_one_is_signed_in_and_ends_it(lite: Town, browsers: Browsers) -> None:
    desk = await began(lite, browsers(**{"user-agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/140 Edg/140"}), "suzuki")
    phone = await began(lite, browsers("203.0.113.5", **{"user-agent": LINE}), "suzuki")
    page = html.unescape((await desk.get("/ways")).text)
    assert "Edge, Windows" in page and "LINE, iPhone" in page and page.count("この端末</span>") == 1
    assert "203.0.113.5" not in page
    (other,) = re.findall(r'name="session" value="(\w+)"', page)
    await desk.post("/ways", do="out", session=other)
    assert (await phone.who(), await desk.who()) == ("", "suzuki")
    again = await began(lite, phone, "suzuki")
    assert (await desk.post("/ways", do="out-all")).headers["location"] == "/sign-in"
    assert (await again.who(), await desk.who()) == ("", "")


async def test_nobody_ends_or_removes_what_is_anothers(lite: Town, browsers: Browsers) -> None:
    suzuki, mori = await began(lite, browsers(), "suzuki"), await began(lite, browsers(), "mori")
    found = await lite.app.store.read(lambda tx: people.sessions_of(tx, "suzuki", lite.clock.machine()))
    await mori.post("/ways", do="out", session=found[0].hash[:16])
    assert await suzuki.who() == "suzuki"


async def test_ways_are_changed_only_soon_after_coming_in(lite: Town, browsers: Browsers) -> None:
    mine = await began(lite, browsers(), "suzuki")
    await pass_by(lite, minutes=15)
    page = (await mine.get("/ways")).text
    assert "入りなおす" in page and 'value="app"' not in page
    for do in ("app", "recovery", "passkey", "passkey-remove", "app-remove", "app-confirm"):
        assert (await mine.post("/ways", do=do)).status_code == 403, do
    assert (await mine.post("/ways/question")).status_code == 403
    assert (await mine.post("/ways", do="out-all")).status_code == 303


async def test_a_head_signs_their_own_people_out_and_sees_what_they_hold(lite: Town, browsers: Browsers) -> None:
    number = await lite.accepted()  # 石井 holds 家計相談 at ともしび, 鈴木 leads
    suzuki = await began(lite, browsers(), "suzuki")
    coordinator, ishii = await began(lite, browsers(), "takahashi"), await began(lite, browsers(), "ishii")
    assert (await ishii.get("/town/people/suzuki")).status_code == 404
    assert (await ishii.post("/town/people/suzuki", do="out-all")).status_code == 404
    assert await suzuki.who() == "suzuki"
    page = html.unescape((await coordinator.get("/town/people/suzuki")).text)
    assert f'value="担当替え {number}"' in page and "主担当" in page and "1台" in page
    held = html.unescape((await coordinator.get("/town/people/ishii")).text)
    assert f'value="取下げ {number}"' in held and "家計相談" in held
    said = await coordinator.post("/chat/say", words=f"担当替え {number}", room="me", back="/chat?room=me")
    assert said.status_code == 303
    await coordinator.post("/town/people/suzuki", do="out-all")
    assert not await suzuki.who()
    (line,) = await lines(lite, "town.sign_out")
    assert line == ("town.sign_out", "takahashi", {"person": "suzuki", "everywhere": True, "sessions": 1})
    assert "/town/people/suzuki" in (await coordinator.get("/town")).text


async def test_whose_time_here_is_over_does_not_come_in(lite: Town, browsers: Browsers) -> None:
    mine = await began(lite, browsers(), "suzuki")
    doc = sample()
    next(one for one in doc["staff"] if one["code"] == "suzuki")["valid_to"] = "2026-05-31"
    await lite.app.store.transact(lambda tx: keep_town(tx, doc, lite.now))
    assert not await mine.who()
    code = await lite.app.store.transact(lambda tx: sign.invite(tx, "suzuki", "code", None, lite.now, "console"))
    assert await browsers().enter(code=code) == 422


# -- the door and its cookies


async def test_a_chats_own_window_is_led_to_the_other_ways(lite: Town, browsers: Browsers) -> None:
    lite.app.settings = lite.app.settings.model_copy(update={"base_url": "https://tsunagi.example.jp"})
    assert "data-passkey" in (await browsers().get("/sign-in")).text
    page = (await browsers(**{"user-agent": LINE}).get("/sign-in")).text
    assert "data-passkey" not in page and "チャットの中の画面では" in page and 'value="letter"' in page


async def test_by_https_the_cookies_are_of_this_host_alone(lite: Town, tmp_path: Path) -> None:
    lite.app.settings = lite.app.settings.model_copy(update={"base_url": "https://tsunagi.example.jp"})
    transport = httpx2.ASGITransport(app=routes(lite.app), client=("192.0.2.7", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://tsunagi.example.jp") as client:
        await client.get("/sign-in")
        code = await lite.app.store.transact(lambda tx: sign.invite(tx, "suzuki", "code", None, lite.now, "console"))
        answer = await client.post("/sign-in", data={"csrftoken": client.cookies["__Host-csrftoken"], "code": code})
        assert answer.status_code == 303
        put = answer.headers.get_list("set-cookie")
        assert len(put) == 2
        for one in put:
            assert re.match(r"__Host-(tsunagi|device)=", one), one
            low = one.lower()
            assert (
                "secure" in low
                and "httponly" in low
                and "samesite=lax" in low
                and "path=/" in low
                and "domain" not in low
            )
        assert 'data-as="suzuki"' in (await client.get("/help")).text
        out = await client.post("/sign-out", data={"csrftoken": client.cookies["__Host-csrftoken"]})
        assert out.headers["set-cookie"].startswith('__Host-tsunagi=""') and "Secure" in out.headers["set-cookie"]
