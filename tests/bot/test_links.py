"""つなげる: one's own chats by one-time codes, and volunteers' papers that a head or coordinator confirms."""

import html
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import text

from adapters.base import Address, Caps, Delivery, Inbound, Linking, Parcel, Said, Sender, Sent
from bot import sign
from bot.clock import real
from bot.operate import keep_town
from bot.pages import links, routes
from bot.pages.frame import COOKIE
from bot.receive import Answered
from bot.record import addresses
from storage import journal, people
from storage.people import Quiet
from storage.tx import Tx
from tests.town import Town, sample


class Toy:
    """A platform outside whose address can bring a code."""

    inside = False
    caps = Caps(buttons=4, label=20, text=2_000)

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, parcel: Parcel) -> Delivery:
        return Sent(parcel.key)

    def link(self, code: str) -> str:
        return f"https://t.me/tsunagi_bot?start={code}" if self.name == "telegram" else ""


class Browser:
    """Somebody's browser."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, url: str) -> str:
        answer = await self.client.get(url)
        assert answer.status_code == 200, answer.status_code
        return html.unescape(answer.text)

    async def post(self, url: str, **fields: str) -> httpx2.Response:
        return await self.client.post(url, data={"csrftoken": self.client.cookies.get("csrftoken", ""), **fields})


Browsers = Callable[[], Browser]


@pytest.fixture
async def wide(lite: Town) -> Town:
    """The sample town with Slack, Telegram and LINE set up."""
    names = ("slack", "telegram", "line")
    lite.app.deliverer.adapters.update({name: Toy(name) for name in names})
    lite.app.towns._outside = frozenset(names)
    lite.app.towns._town = None
    links._made.clear()
    return lite


@pytest.fixture
async def browsers(wide: Town) -> AsyncIterator[Browsers]:
    app, opened = routes(wide.app), []

    def browser() -> Browser:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        opened.append(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080"))
        return Browser(opened[-1])

    yield browser
    for client in opened:
        await client.aclose()


async def signed_in(town: Town, browsers: Browsers, who: str) -> Browser:
    token = await town.app.store.transact(lambda tx: sign.begin(tx, who, real()))
    browser = browsers()
    browser.client.cookies.set(COOKIE, token)
    await browser.get("/help")
    return browser


async def writes(town: Town, platform: str, account: str, what: str | Linking) -> Answered:
    """Somebody writes to us on a platform, or its deep link brings a code."""
    event = Inbound(
        sign.hashed(f"{platform}{account}{what}{town.app.fresh()}"), Sender(platform, account), Address(platform, account),
        what if isinstance(what, Linking) else Said(what),
    )  # fmt: skip
    return await town.app.receiver.receive(event)


async def code(browser: Browser, platform: str) -> tuple[str, str]:
    """Make a code on the page: the words to send, and the deep link."""
    answer = await browser.post("/links", do="make", platform=platform)
    assert answer.status_code == 200
    shown = html.unescape(answer.text)
    words = re.search(r"<b>((?:/tsunagi )?登録 [^<]+)</b>", shown)
    link = re.search(r'href="(https://t\.me/[^"]+)"', shown)
    assert words
    return words[1], link[1] if link else ""


async def linked(town: Town, platform: str, account: str) -> str | None:
    return await town.app.store.read(lambda tx: people.linked(tx, platform, account))


# -- one's own chats


async def test_a_typed_word_links_once_and_only_for_ten_minutes(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    words, _ = await code(suzuki, "line")
    assert re.fullmatch(r"登録 [BCDFGHJKMNPQRSTVWXYZ]{4}-[BCDFGHJKMNPQRSTVWXYZ]{4}", words)
    answered = await writes(wide, "line", "U1", words)
    assert answered.refused is None and "鈴木さん" in answered.messages[0].text
    assert await linked(wide, "line", "U1") == "suzuki"
    assert (await writes(wide, "line", "U2", words)).refused == "BadInvite"
    late, _ = await code(suzuki, "line")
    wide.clock.frozen = wide.now + timedelta(minutes=10)
    assert (await writes(wide, "line", "U3", late)).refused == "BadInvite"
    assert await linked(wide, "line", "U3") is None


@pytest.mark.parametrize(
    "typed", ["登録 {a}{b}", "登録 {a} {b}", "とうろく　{a}－{b}", "register {a}-{b}", "登録 {a}-{b} お願いします"]
)
async def test_a_word_is_taken_however_it_is_typed(wide: Town, browsers: Browsers, typed: str) -> None:
    words, _ = await code(await signed_in(wide, browsers, "suzuki"), "line")
    a, b = words.split()[-1].lower().split("-")
    await writes(wide, "line", "U1", typed.format(a=a, b=b))
    assert await linked(wide, "line", "U1") == "suzuki"


async def test_a_deep_link_brings_a_longer_word_and_either_ends_both(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    words, link = await code(suzuki, "telegram")
    carried = parse_qs(urlsplit(link).query)["start"][0]
    assert re.fullmatch(r"[A-Za-z0-9_-]{24,64}", carried)
    await writes(wide, "telegram", "7", Linking(carried))
    assert await linked(wide, "telegram", "7") == "suzuki"
    assert (await writes(wide, "telegram", "8", words)).refused == "BadInvite"


async def test_only_the_newest_word_counts(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    old, _ = await code(suzuki, "line")
    new, _ = await code(suzuki, "slack")
    assert new.startswith("/tsunagi 登録 ")
    assert (await writes(wide, "line", "U1", old)).refused == "BadInvite"
    await writes(wide, "slack", "T1/U1", new.removeprefix("/tsunagi "))
    assert await linked(wide, "slack", "T1/U1") == "suzuki"


async def test_a_word_for_a_chat_opens_no_page(wide: Town, browsers: Browsers) -> None:
    words, link = await code(await signed_in(wide, browsers, "suzuki"), "telegram")
    visitor = browsers()
    await visitor.get("/sign-in")
    for word in (words.split()[-1], link.partition("=")[2]):
        assert (await visitor.post("/sign-in", code=word)).status_code == 422
    assert COOKIE not in visitor.client.cookies
    await writes(wide, "telegram", "7", words)
    assert await linked(wide, "telegram", "7") == "suzuki"


async def test_no_word_is_kept_in_the_open(wide: Town, browsers: Browsers) -> None:
    words, link = await code(await signed_in(wide, browsers, "suzuki"), "telegram")
    typed, carried = words.split()[-1], link.partition("=")[2]

    def everything(tx: Tx) -> str:
        return repr(
            [tx.connection.execute(text(f"SELECT * FROM {table}")).all() for table in ("invites", "inbox", "letters")]
        )

    await writes(wide, "telegram", "7", words)
    kept = (await wide.app.store.read(everything)).upper()
    assert not any(one in kept for one in (typed, typed.replace("-", ""), carried))


async def test_words_are_neither_made_nor_tried_in_a_row(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    made = [(await suzuki.post("/links", do="make", platform="line")).status_code for _ in range(6)]
    assert made == [200] * 5 + [429]
    tried = [(await writes(wide, "line", "U9", f"登録 BCDF-GHJ{letter}")).refused for letter in "BCDFGHJ"]
    assert tried == ["BadInvite"] * 5 + ["TooFast"] * 2
    assert (await writes(wide, "line", "U8", "登録 BCDF-GHJK")).refused == "BadInvite"


async def test_the_page_asks_whether_it_was_you(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    words, _ = await code(suzuki, "telegram")
    await writes(wide, "telegram", "123456789", words)
    page = await suzuki.get("/links")
    assert "Telegram …6789 をつなぎました。あなたですか" in page
    assert "12345" not in re.sub(r'value="[^"]*"', "", page)
    await suzuki.post("/links", do="keep", platform="telegram", account="123456789")
    page = await suzuki.get("/links")
    assert "あなたですか" not in page and "Telegram" in page
    assert await linked(wide, "telegram", "123456789") == "suzuki"


async def test_it_was_not_me_and_at_any_time_no_more(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    words, _ = await code(suzuki, "line")
    await writes(wide, "line", "U-stranger", words)
    await suzuki.post("/links", do="unlink", platform="line", account="U-stranger")
    assert await linked(wide, "line", "U-stranger") is None
    assert (await writes(wide, "line", "U-stranger", "今日")).refused == "StrangersCannot"
    assert "あなたですか" not in await suzuki.get("/links")


async def test_nobody_touches_anothers_account(wide: Town, browsers: Browsers) -> None:
    await wide.app.store.transact(lambda tx: people.link(tx, "line", "U-suzuki", "suzuki", wide.now))
    mori = await signed_in(wide, browsers, "mori")
    assert "suzuki" not in await mori.get("/links")
    for do in ("unlink", "keep", "accept", "refuse", "make", "nonsense"):
        assert (await mori.post("/links", do=do, platform="line", account="U-suzuki")).status_code in (200, 303)
    assert await linked(wide, "line", "U-suzuki") == "suzuki"


async def test_an_account_that_is_linked_again_belongs_to_the_newest(wide: Town, browsers: Browsers) -> None:
    await wide.app.store.transact(lambda tx: people.link(tx, "line", "U1", "mori", wide.now))
    words, _ = await code(await signed_in(wide, browsers, "suzuki"), "line")
    await writes(wide, "line", "U1", words)
    assert await linked(wide, "line", "U1") == "suzuki"


async def test_only_what_is_set_up_and_allowed_is_offered(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    page = await suzuki.get("/links")
    assert all(f"{name} をつなげる" in page for name in ("Slack", "Telegram", "LINE"))
    whole = wide.app.towns._town
    assert whole is not None
    kita = replace(whole.agencies["houkatsu-kita"], platforms=("line", "mail"))
    wide.app.towns._town = replace(whole, agencies={**whole.agencies, "houkatsu-kita": kita})
    page = await suzuki.get("/links")
    assert "LINE をつなげる" in page and "Slack をつなげる" not in page
    assert "登録 " not in (await suzuki.post("/links", do="make", platform="slack")).text


async def test_lines_own_way_of_linking_goes_by_a_press(wide: Town, browsers: Browsers) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    asked = await suzuki.get("/links/line?linkToken=NMZTNuVrPTqlr2IF8Bnymkb7rXfYv5EY")
    assert "access.line.me" not in asked
    answer = await suzuki.post("/links/line", linkToken="NMZTNuVrPTqlr2IF8Bnymkb7rXfYv5EY")
    to = re.search(r'href="(https://access\.line\.me/[^"]+)"', html.unescape(answer.text))
    assert to
    given = parse_qs(urlsplit(to[1]).query)
    assert given["linkToken"] == ["NMZTNuVrPTqlr2IF8Bnymkb7rXfYv5EY"]
    await writes(wide, "line", "U1", Linking(given["nonce"][0]))
    assert await linked(wide, "line", "U1") == "suzuki"
    for bad in ("", "a\nb", "あ", "x" * 201):
        assert (await suzuki.post("/links/line", linkToken=bad)).status_code == 403


# -- in which order, and when not


async def reached(town: Town, who: str) -> list[str]:
    """The platforms where somebody is told, the first choice first."""
    place = await town.app.store.read(town.app.towns.of)
    return [platform for platform, _ in addresses(place.staff[who], place)]


async def test_somebody_says_where_to_be_told_first(wide: Town, browsers: Browsers) -> None:
    def link(tx: Tx) -> None:
        for platform in ("slack", "telegram", "line"):
            people.link(tx, platform, "A-1", "suzuki", wide.now)

    await wide.app.store.transact(link)
    suzuki = await signed_in(wide, browsers, "suzuki")
    assert await reached(wide, "suzuki") == ["line", "slack", "telegram"]
    for _ in range(2):
        await suzuki.post("/links", do="up", platform="telegram")
    assert await reached(wide, "suzuki") == ["telegram", "line", "slack"]
    page = await suzuki.get("/links")
    mine = page.partition('id="mine"')[2]
    assert mine.index("<b>Telegram") < mine.index("<b>LINE") < mine.index("<b>Slack")
    assert page.count('value="up"') == 2, "the first has nothing before it"
    for platform in ("telegram", "mail", "nonsense", ""):
        await suzuki.post("/links", do="up", platform=platform)
    assert await reached(wide, "suzuki") == ["telegram", "line", "slack"]
    await suzuki.post("/links", do="unlink", platform="line", account="A-1")
    assert await reached(wide, "suzuki") == ["telegram", "slack"]


async def test_mail_comes_last_unless_somebody_puts_it_first(wide: Town, browsers: Browsers) -> None:
    doc = sample()
    next(s for s in doc["staff"] if s["code"] == "suzuki")["email"] = "suzuki@example.jp"
    await wide.app.store.transact(lambda tx: keep_town(tx, doc))
    wide.app.towns._outside |= {"mail"}
    await wide.app.store.transact(lambda tx: people.link(tx, "slack", "T/U", "suzuki", wide.now))
    suzuki = await signed_in(wide, browsers, "suzuki")
    assert await reached(wide, "suzuki") == ["slack", "mail"]
    assert "suzuki@example.jp" in await suzuki.get("/links")
    await suzuki.post("/links", do="up", platform="mail")
    assert await reached(wide, "suzuki") == ["mail", "slack"]


async def test_quiet_hours_are_set_changed_and_taken_away(wide: Town, browsers: Browsers) -> None:
    async def kept() -> Quiet | None:
        return (await wide.app.store.read(lambda tx: people.reader_settings(tx, "suzuki"))).quiet

    await wide.app.store.transact(lambda tx: people.link(tx, "slack", "T/U", "suzuki", wide.now))
    suzuki = await signed_in(wide, browsers, "suzuki")
    await suzuki.post("/links", do="quiet", start="22:00", end="07:30")
    assert await kept() == (22 * 60, 7 * 60 + 30)
    page = await suzuki.get("/links")
    assert 'value="22:00"' in page and 'value="07:30"' in page
    for start, end in (("22:00", ""), ("25:00", "07:00"), ("x", "y"), ("09:00", "09:00")):
        answer = await suzuki.post("/links", do="quiet", start=start, end=end)
        assert answer.status_code == 422 and "ちがう時刻" in html.unescape(answer.text)
    assert await kept() == (22 * 60, 7 * 60 + 30)
    await suzuki.post("/links", do="up", platform="slack")
    await suzuki.post("/links", do="quiet", start="", end="")
    assert await kept() is None


# -- the town file's accounts


async def load_with(town: Town, **chats: dict[str, str]) -> None:
    doc = sample()
    for person in doc["staff"]:
        person["chat"] = chats.get(person["code"], {})
    await town.app.store.transact(lambda tx: keep_town(tx, doc))


async def test_accounts_of_the_town_file_need_no_code(wide: Town, browsers: Browsers) -> None:
    await load_with(wide, suzuki={"slack": "T/U1"}, mori={"line": "U-mori"})
    assert await linked(wide, "slack", "T/U1") == "suzuki"
    assert (await writes(wide, "slack", "T/U1", "今日")).refused is None
    assert await reached(wide, "suzuki") == ["slack"]
    page = await (await signed_in(wide, browsers, "suzuki")).get("/links")
    assert "<b>Slack" in page and "あなたですか" not in page and "1970" not in page
    await load_with(wide, mori={"slack": "T/U1"})
    assert (await linked(wide, "slack", "T/U1"), await linked(wide, "line", "U-mori")) == ("mori", None)


async def test_loading_the_town_again_leaves_what_people_linked_themselves(wide: Town) -> None:
    await wide.app.store.transact(lambda tx: people.link(tx, "slack", "T/U1", "kondo", wide.now))
    await load_with(wide, suzuki={"slack": "T/U1", "line": "U-suzuki"})
    assert await linked(wide, "slack", "T/U1") == "kondo"
    await wide.app.store.transact(lambda tx: people.reachable(tx, "line", "U-suzuki", False))
    await load_with(wide, suzuki={"slack": "T/U1", "line": "U-suzuki"})
    assert await reached(wide, "suzuki") == [], "who blocked us stays blocked"
    await load_with(wide)
    assert await linked(wide, "slack", "T/U1") == "kondo"


# -- an agency's channels and groups


async def room_code(browser: Browser, agency: str, platform: str = "slack") -> str:
    answer = await browser.post("/links", do="make-room", platform=platform, agency=agency)
    assert answer.status_code == 200, answer.status_code
    words = re.search(r"<b>(?:/tsunagi )?(登録 [^<]+)</b>", html.unescape(answer.text))
    assert words
    return words[1]


async def says_in(
    town: Town, conversation: str, words: str, platform: str = "slack", account: str = "T/U9"
) -> Answered:
    event = Inbound(
        f"{town.app.fresh()}", Sender(platform, account), Address(platform, conversation), Said(words), private=False
    )
    return await town.app.receiver.receive(event)


async def rooms(town: Town) -> list[tuple[str, str, str, str]]:
    found = await town.app.store.read(people.rooms)
    return [(room.platform, room.conversation, room.agency, room.linked_by) for room in found]


async def town_lines(town: Town) -> list[tuple[str, dict[str, object]]]:
    return [
        (line.kind, dict(line.data))
        for line in await town.app.store.read(lambda tx: journal.tail(tx, 0))
        if line.case_id is None
    ]


async def test_a_head_links_the_agencys_channel_and_lets_it_go(wide: Town, browsers: Browsers) -> None:
    ishii = await signed_in(wide, browsers, "ishii")
    words = await room_code(ishii, "tomoshibi")
    answered = await says_in(wide, "C-tomoshibi", words)
    assert answered.refused is None
    assert await rooms(wide) == [("slack", "C-tomoshibi", "tomoshibi", "ishii")]
    assert await linked(wide, "slack", "T/U9") is None, "the conversation is linked, not the account"
    assert (await says_in(wide, "C-other", words)).refused == "BadInvite"
    page = await ishii.get("/links")
    assert "家計改善ともしび" in page and "…hibi" in page
    await ishii.post("/links", do="unlink-room", platform="slack", account="C-tomoshibi")
    assert await rooms(wide) == []
    about = {"room": "tomoshibi", "platform": "slack"}
    assert (await town_lines(wide))[-2:] == [("town.link", about), ("town.unlink", about)]


async def test_only_heads_of_the_agency_and_coordinators_link_its_channels(
    wide: Town, browsers: Browsers, coordinator: Browser
) -> None:
    await says_in(wide, "C-1", await room_code(coordinator, "tomoshibi"))
    for who in ("kondo", "hasegawa"):
        other = await signed_in(wide, browsers, who)
        asked = {"do": "make-room", "platform": "slack", "agency": "tomoshibi"}
        assert (await other.post("/links", **asked)).status_code == 403
        assert (await other.post("/links", do="unlink-room", platform="slack", account="C-1")).status_code == 303
        assert "C-1" not in await other.get("/links")
    assert [room[1] for room in await rooms(wide)] == ["C-1"]


async def test_a_channel_is_only_where_more_than_two_speak_and_the_agency_allows_it(
    wide: Town, coordinator: Browser
) -> None:
    for platform, agency in (
        ("line", "tomoshibi"),
        ("slack", "nagisa"),
        ("slack", "nobody"),
        ("nonsense", "tomoshibi"),
    ):
        asked = {"do": "make-room", "platform": platform, "agency": agency}
        assert (await coordinator.post("/links", **asked)).status_code == 403
    words = await room_code(coordinator, "tomoshibi")
    assert (await says_in(wide, "G-1", words, "line")).refused == "OnlyPrivate"
    assert await rooms(wide) == []
    assert (await says_in(wide, "-100", words, "telegram", "7")).refused is None, "it was not used up"


async def test_a_room_code_is_old_after_ten_minutes_and_only_the_newest_counts(wide: Town, browsers: Browsers) -> None:
    ishii = await signed_in(wide, browsers, "ishii")
    old, new = [await room_code(ishii, "tomoshibi") for _ in range(2)]
    assert (await says_in(wide, "C-1", old)).refused == "BadInvite"
    assert (await writes(wide, "slack", "T/U9", new)).refused == "BadInvite", "it links no account"
    wide.clock.frozen = wide.now + timedelta(minutes=10)
    assert (await says_in(wide, "C-1", new)).refused == "BadInvite"
    tried = [(await says_in(wide, "C-1", f"登録 BCDF-GHJ{letter}", account="T/U8")).refused for letter in "BCDFGHJ"]
    assert tried == ["BadInvite"] * 5 + ["TooFast"] * 2


async def test_a_personal_word_said_among_others_stays_good(wide: Town, browsers: Browsers) -> None:
    words, _ = await code(await signed_in(wide, browsers, "suzuki"), "telegram")
    answered = await says_in(wide, "-100", words, "telegram", "7")
    assert answered.refused == "OnlyPrivate" and "ふたりだけの会話" in answered.messages[0].text
    assert (await linked(wide, "telegram", "7"), await rooms(wide)) == (None, [])
    await writes(wide, "telegram", "7", words)
    assert await linked(wide, "telegram", "7") == "suzuki"


# -- papers


async def paper(browser: Browser, who: str) -> tuple[str, str]:
    """Make an 招待状: its code, and the sheet."""
    answer = await browser.post("/links/paper", who=who)
    assert answer.status_code == 200, answer.text
    shown = html.unescape(answer.text)
    found = re.search(r'class="no">([\d-]+)</b>', shown)
    assert found
    return found[1], shown


@pytest.fixture
async def coordinator(wide: Town, browsers: Browsers) -> Browser:
    return await signed_in(wide, browsers, "takahashi")


async def test_an_invitation_is_a_sheet_with_everything_a_volunteer_needs(wide: Town, coordinator: Browser) -> None:
    word, sheet = await paper(coordinator, "yamamoto")
    assert "data:image/svg+xml" in sheet
    assert f"登録 {word}" in sheet
    assert "6月15日(月)まで、1回だけ使えます" in sheet
    assert "招待状" in sheet and "/sign-in" in sheet
    assert word not in await coordinator.get("/links")


async def test_a_paper_counts_when_it_has_been_confirmed(wide: Town, coordinator: Browser) -> None:
    word, _ = await paper(coordinator, "yamamoto")
    answered = await writes(wide, "line", "U-yamamoto", f"登録 {word}")
    assert answered.refused is None and "確かめる" in answered.messages[0].text
    assert await linked(wide, "line", "U-yamamoto") is None
    assert (await writes(wide, "line", "U-yamamoto", "今日")).refused == "StrangersCannot"
    assert "招待状が使われました" in await coordinator.get("/links")
    await coordinator.post("/links", do="accept", platform="line", account="U-yamamoto")
    assert await linked(wide, "line", "U-yamamoto") == "yamamoto"
    assert (await writes(wide, "line", "U-yamamoto", "今日")).refused is None
    assert "招待状が使われました" not in await coordinator.get("/links")
    assert (await writes(wide, "line", "U-thief", f"登録 {word}")).refused == "BadInvite"


async def test_a_paper_in_the_wrong_hands_is_sent_away(wide: Town, coordinator: Browser) -> None:
    word, _ = await paper(coordinator, "yamamoto")
    await writes(wide, "line", "U-thief", f"登録 {word}")
    await coordinator.post("/links", do="refuse", platform="line", account="U-thief")
    assert await linked(wide, "line", "U-thief") is None
    await coordinator.post("/links", do="accept", platform="line", account="U-thief")
    assert await linked(wide, "line", "U-thief") is None


async def test_a_browser_that_brings_a_paper_waits_too(wide: Town, browsers: Browsers, coordinator: Browser) -> None:
    word, _ = await paper(coordinator, "yamamoto")
    yamamoto = browsers()
    await yamamoto.get("/sign-in")
    answer = await yamamoto.post("/sign-in", code=word)
    assert answer.status_code == 202 and "招待状を受けとりました" in answer.text
    assert (await yamamoto.client.get("/today")).status_code == 303
    page = await coordinator.get("/links")
    account = re.search(r'name="platform" value="web"><input type="hidden" name="account" value="([0-9a-f]{64})"', page)
    assert account
    await coordinator.post("/links", do="accept", platform="web", account=account[1])
    assert (await yamamoto.client.get("/today")).status_code == 200
    assert "この町のページ" not in await coordinator.get("/links")


async def test_a_paper_is_old_after_fourteen_days(wide: Town, coordinator: Browser) -> None:
    word, _ = await paper(coordinator, "yamamoto")
    wide.clock.frozen = wide.now + timedelta(days=14)
    assert (await writes(wide, "line", "U-yamamoto", f"登録 {word}")).refused == "BadInvite"


async def test_only_heads_and_coordinators_make_and_confirm(
    wide: Town, browsers: Browsers, coordinator: Browser
) -> None:
    word, _ = await paper(coordinator, "yamamoto")
    await writes(wide, "line", "U-yamamoto", f"登録 {word}")
    agency = wide.place.staff["yamamoto"].agency
    head = next((s.code for s in wide.place.members[agency] if s.heads(agency)), None)
    for who in ("suzuki", "mori", "yamamoto"):
        other = await signed_in(wide, browsers, who)
        assert (await other.post("/links/paper", who="yamamoto")).status_code == 403
        assert "招待状が使われました" not in await other.get("/links")
        assert (await other.post("/links", do="accept", platform="line", account="U-yamamoto")).status_code == 303
        await other.post("/links", do="keep", platform="line", account="U-yamamoto")
    assert await linked(wide, "line", "U-yamamoto") is None
    if head:
        await (await signed_in(wide, browsers, head)).post("/links", do="accept", platform="line", account="U-yamamoto")
        assert await linked(wide, "line", "U-yamamoto") == "yamamoto"
    assert (await coordinator.post("/links/paper", who="suzuki")).status_code == 403
    assert (await coordinator.post("/links/paper", who="nobody")).status_code == 403


async def test_nothing_is_shown_or_done_without_a_session(browsers: Browsers) -> None:
    visitor = browsers()
    await visitor.get("/sign-in")
    for path in ("/links", "/links/line?linkToken=x"):
        assert (await visitor.client.get(path)).headers["location"].startswith("/sign-in")
    for path in ("/links", "/links/line", "/links/paper"):
        answer = await visitor.post(path, who="yamamoto", do="make", platform="line", linkToken="x")
        assert answer.headers["location"].startswith("/sign-in")


async def test_every_page_of_linking_speaks_english_too(wide: Town, browsers: Browsers, coordinator: Browser) -> None:
    suzuki = await signed_in(wide, browsers, "suzuki")
    await writes(wide, "line", "U1", (await code(suzuki, "line"))[0])
    coordinator.client.cookies.set("lang", "en")
    suzuki.client.cookies.set("lang", "en")
    shown = [
        await suzuki.get("/links"),
        (await suzuki.post("/links", do="make", platform="telegram")).text,
        await suzuki.get("/links/line?linkToken=x"),
        (await suzuki.post("/links/line", linkToken="x")).text,
        (await coordinator.post("/links/paper", who="yamamoto")).text,
        await coordinator.get("/links"),
    ]
    for page in shown:
        main = page.partition("<main")[2].partition("</main>")[0]
        said = re.sub(r"<[^>]*>|登録|つなぎ", " ", main)
        names = (
            {s.name for s in wide.place.staff.values()}
            | {a.name for a in wide.place.agencies.values()}
            | {wide.place.name}
        )
        for name in sorted(names, key=len, reverse=True):
            said = said.replace(name, "")
        assert not re.search(r"[ぁ-んァ-ヶ一-龠]", said), re.findall(r"[^\s]*[ぁ-んァ-ヶ一-龠][^\s]*", said)
