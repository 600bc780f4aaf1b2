"""The five minutes with each person on another platform, over the wire and through the hooks; and a platform in one class."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.base import (
    FORGED,
    Ack,
    Adapter,
    Address,
    Caps,
    Chose,
    Delivery,
    Editor,
    Gone,
    Hand,
    Hook,
    Hooked,
    Inbound,
    Message,
    Outside,
    Parcel,
    Ref,
    Said,
    Sender,
    Sent,
)
from adapters.line import Line
from adapters.mail import Mail
from adapters.slack import Slack
from adapters.telegram import Telegram
from bot import sign
from bot.pages import routes
from storage import people
from tests.fakes import line as of_line
from tests.fakes import slack as of_slack
from tests.fakes.line import LineFake
from tests.fakes.mail import Post, served
from tests.fakes.slack import FakeSlack
from tests.fakes.telegram import FakeTelegram
from tests.journeys.conftest import whole
from tests.town import START, Town

HOME = "http://127.0.0.1:8080"
SECRET = "a-secret_of-the-town"
SUZUKI, HASEGAWA = "U1", "U2"  #: on Slack
ISHII, NAKAJIMA = 4001, 4002  #: on Telegram
SATO, KONDO = f"U{2:032x}", f"U{3:032x}"  #: on LINE
NUMBER = re.compile(r"\d{3}-\d{3}-\d{2}")
LINK = re.compile(rf"^(.+): {HOME}(/go/\S+)", re.M)
BUTTON = r'name="token" value="([^"]+)"[^>]*>(?:<svg.*?</svg>)?<span>{}'


class World:
    """A town, its door, and the platforms outside. Whatever is done takes the town three minutes."""

    def __init__(self, town: Town, door: httpx2.AsyncClient, *fakes: Any) -> None:
        self.town = town
        self.door = door
        self.slack, self.telegram, self.line, self.post = fakes
        self.opened = ""  #: the mail's link that 坂本 has before them

    async def hook(self, platform: str, headers: Mapping[str, str], body: bytes) -> None:
        answer = await self.door.post(f"/hooks/{platform}", headers=dict(headers), content=body)
        assert answer.status_code == 200, answer.status_code
        await self.town.later(minutes=3)

    # 鈴木 on Slack

    async def suzuki(self, *said: str) -> str:
        """鈴木 writes to us on Slack; a preview is sent on by a tap, as a person would. The answer's words."""
        for words in said:
            await self.hook_slack(self.slack.says(SUZUKI, words))
            if "送る" in self.slack_buttons():
                await self.suzuki_taps("送る")
        return self.slack_shows()[-1][1]

    async def suzuki_taps(self, label: str) -> None:
        cards = [(ref, name) for ref, _, buttons in self.slack_cards() for name in buttons if label in name]
        await self.hook_slack(self.slack.taps(SUZUKI, *cards[-1]))

    async def hook_slack(self, payload: dict[str, Any]) -> None:
        hook = of_slack.hook(payload)
        await self.hook("slack", hook.headers, hook.body)

    def slack_cards(self, user: str = SUZUKI) -> list[tuple[str, str, dict[str, str]]]:
        """(ref, words, label → token) of everything in 鈴木's line with us, as it stands now."""
        return [
            (f"{channel}:{ts}", words_in(body["blocks"]), buttons_in(body["blocks"]))
            for (channel, ts), body in self.slack.messages.items() if channel == f"D{user}"
        ]  # fmt: skip

    def slack_shows(self) -> list[tuple[str, str]]:
        return [(ref, words) for ref, words, _ in self.slack_cards()]

    def slack_buttons(self) -> dict[str, str]:
        return self.slack_cards()[-1][2]

    # 石井 on Telegram

    async def _telegram(self, **update: Any) -> None:
        self.telegram.next_update += 1
        body = json.dumps({"update_id": self.telegram.next_update, **update}).encode()
        await self.hook("telegram", {"x-telegram-bot-api-secret-token": SECRET}, body)

    def _ishii(self) -> dict[str, Any]:
        return {"id": ISHII, "is_bot": False, "first_name": "石井", "language_code": "ja"}

    async def ishii(self, words: str) -> None:
        chat, number = {"id": ISHII, "type": "private", "first_name": "石井"}, 700 + self.telegram.next_update
        await self._telegram(message={
            "message_id": number, "date": 1_780_000_000, "from": self._ishii(), "chat": chat, "text": words,
        })  # fmt: skip

    async def ishii_taps(self, label: str) -> None:
        card = next(s for s in reversed(self.telegram.shown) if any(label in name for name, _ in s.buttons))
        token = next(token for name, token in card.buttons if label in name)
        query = f"{self.telegram.next_update}"
        self.telegram.taps.add(query)
        chat = {"id": ISHII, "type": "private", "first_name": "石井"}
        note = {"message_id": card.id, "date": 1_780_000_000, "from": self.telegram.me, "chat": chat, "text": card.text}
        await self._telegram(callback_query={
            "id": query, "from": self._ishii(), "chat_instance": "-77", "data": token, "message": note,
        })  # fmt: skip
        assert query in self.telegram.answered, "the spinner turns for ever"

    # 佐藤 on LINE

    async def sato(self, *events: dict[str, Any]) -> None:
        await self.hook("line", *of_line.hook(*events))

    # 坂本 by mail

    def sakamoto_links(self, kind: str) -> dict[str, str]:
        """Label → link of 坂本's newest mail that has a button of this name."""
        for letter in reversed(self.post.letters):
            links = dict(LINK.findall(letter.get_content()))
            if letter["To"] == "sakamoto@example.jp" and any(kind in label for label in links):
                return links
        raise AssertionError(f"坂本 got no mail with {kind}")

    async def sakamoto_presses(self, label: str, page: str = "") -> str:
        """Open the newest mail's link of this label and press its button, or the one on a page before; the page after."""
        if not page:
            self.opened = next(link for name, link in self.sakamoto_links(label).items() if label in name)
            page = (await self.door.get(self.opened)).text
        found = re.search(BUTTON.format(rf"[^<]*{re.escape(label)}"), page, re.S)
        assert found, f"no button 「{label}」 in {page}"
        fields = {"csrftoken": self.door.cookies.get("csrftoken", ""), "token": found[1]}
        page = (await self.door.post(self.opened, data=fields)).text
        await self.town.later(minutes=3)
        return page

    # everywhere

    async def state(self, who: str) -> str:
        """What somebody's newest offer says of the present state, in the web chat."""
        return dict((await self.town.last(who, "offer")).facts)["いま"]


def words_in(blocks: list[dict[str, Any]]) -> str:
    texts = [b["text"] for b in blocks if "text" in b] + [f for b in blocks for f in b.get("fields", ())]
    return "\n".join(text["text"] for text in texts)


def buttons_in(blocks: list[dict[str, Any]]) -> dict[str, str]:
    parts = [p for b in blocks if b["type"] == "actions" for p in b["elements"]]
    buttons = {p["text"]["text"]: p["value"] for p in parts if p["type"] == "button"}
    return buttons | {o["text"]["text"]: o["value"] for p in parts for o in p.get("options", ())}


@pytest.fixture
async def world(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    """The sample town on each database with four platforms, all real but for the platforms' own ends."""
    async with AsyncExitStack() as open_:
        line: LineFake = await open_.enter_async_context(LineFake())
        line.limit = None
        post: Post = await open_.enter_async_context(served())
        slack = await FakeSlack().start()
        open_.push_async_callback(slack.stop)
        telegram = await FakeTelegram(chats={ISHII: "", NAKAJIMA: ""}).start()
        open_.push_async_callback(telegram.stop)
        adapters: dict[str, Adapter] = {
            "slack": Slack(of_slack.TOKEN, of_slack.SECRET, "", slack.api_url),
            "telegram": Telegram(telegram.token, SECRET, telegram.url),
            "line": Line(of_line.TOKEN, of_line.SECRET, line.url),
            "mail": Mail(f"smtp://127.0.0.1:{post.port}", "つなぎ <tsunagi@example.jp>", HOME),
        }
        town = await Town.found(database, tmp_path, adapters=adapters)
        open_.push_async_callback(town.close)
        transport = httpx2.ASGITransport(app=routes(town.app), raise_app_exceptions=False)
        door = await open_.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=HOME))
        yield World(town, door, slack, telegram, line, post)
        await whole(town, caplog)


async def link_everybody(world: World) -> None:
    """Each brings a code in the way of their platform: a command, a deep link, LINE's account link."""
    town = world.town

    async def codes(who: str) -> tuple[str, str]:
        return await town.app.store.transact(lambda tx: sign.link_codes(tx, who, town.now))

    typed, _ = await codes("suzuki")
    await world.hook_slack(world.slack.commands(SUZUKI, f"登録 {typed}", f"D{SUZUKI}"))
    _, carried = await codes("ishii")
    await world.ishii(f"/start {carried}")
    _, nonce = await codes("sato")
    line = town.app.deliverer.adapters["line"]
    assert isinstance(line, Line)
    await world.sato(world.line.links(SATO, await line.link_token(SATO), nonce))
    accounts = {"slack": f"{of_slack.TEAM}/{SUZUKI}", "telegram": f"{ISHII}", "line": SATO}
    whose = await town.app.store.read(lambda tx: [people.linked(tx, *each) for each in accounts.items()])
    assert whose == ["suzuki", "ishii", "sato"]
    theirs = {
        "hasegawa": ("slack", f"{of_slack.TEAM}/{HASEGAWA}"),
        "nakajima": ("telegram", f"{NAKAJIMA}"),
        "kondo": ("line", KONDO),
    }
    for who, account in theirs.items():
        await town.app.store.transact(lambda tx, w=who, a=account: people.link(tx, *a, w, town.now))  # type: ignore[misc]


async def test_the_five_minutes_with_each_person_on_another_platform(world: World) -> None:
    """鈴木 on Slack, 石井 on Telegram, 佐藤 on LINE, 坂本 by mail, 高橋 on the web: one case, and no card that lies."""
    town = world.town
    await link_everybody(world)
    number = NUMBER.findall(await world.suzuki("受付 介護 困窮 北部"))[0]
    for personal in (f"見立て {number} 続ける", f"同意 {number} あり", f"困りごと {number} 困窮 望む"):
        await world.suzuki(personal)
        assert "Webから" in world.slack_cards()[-1][1]
        await town.says("suzuki", personal)
    await world.suzuki(f"依頼 {number} 家計相談 ともしび")

    # The asked agency declines on Telegram; its other copy, on LINE, is followed by what has become of it.
    assert number in world.telegram.texts(ISHII)[-1] and number in world.line.last(KONDO).text
    await world.ishii_taps("お受けできない")
    await world.ishii_taps("定員")
    assert "早めのお返事、助かりました" in world.telegram.texts(ISHII)[-1]
    await town.later(minutes=10)
    assert await world.state("ishii") in world.telegram.texts(ISHII)[-3], (
        "changed where it lies, beneath the two answers"
    )
    await world.suzuki_taps("つばさに依頼")
    await world.suzuki_taps("送る")

    # A week of silence on LINE climbs to the coordinator, who asks the next one from the web.
    assert number in world.line.last(SATO).text
    await town.later(days=7)
    follow = next(one for one in world.line.shown if one.to == KONDO and "定員" in str(one.messages))
    assert await world.state("kondo") in str(follow.messages) and not follow.buttons, (
        "LINE changes nothing: one message more"
    )
    assert number in (await town.last("takahashi")).text
    late = world.line.taps(SATO, "引き受けます")
    await town.says("takahashi", f"依頼 {number} 家計相談 社協ながれ")
    await town.later(minutes=3)

    # 坂本 says yes by a mail's link: every copy says the same of it, on the web, on Slack, behind the mail's link.
    assert "引き受けます" in world.slack_cards(HASEGAWA)[-1][2]
    page = await world.sakamoto_presses("引き受けます")
    ((_, copy, buttons),) = world.slack_cards(HASEGAWA)
    assert await world.state("hasegawa") in copy and not buttons
    behind = (await world.door.get(world.opened)).text
    for shown in (copy, behind, await world.state("sakamoto"), await world.state("nakajima")):
        assert "坂本さんが引き受け" in shown and "社協ながれ" in shown and "引き受けます" not in shown
    await world.sakamoto_presses("つながりました", page)
    handoff = (await town.case(number)).handoffs[-1]
    assert (handoff.state, handoff.holder) == ("active", "sakamoto")

    # Who taps an old button on LINE is told so, for nothing, and nothing moves.
    await world.sato(late)
    assert "ようすが変わりました" in world.line.last(SATO).text and world.line.last(SATO).by == "reply"
    assert (await town.case(number)).handoffs[-1] == handoff

    # What is personal is said inside; the stages move from Slack.
    await world.suzuki(f"移す {number} ほぐし")
    await town.says("suzuki", f"会議なし {number}")
    await world.suzuki(f"移す {number} 役割分担", f"移す {number} 支援")
    assert (await town.case(number)).stage == "support"

    # A month later a mail asks whether they met; then two people close it.
    await town.later(days=32)
    await world.sakamoto_presses("変わりなし")
    await world.suzuki(f"終結 {number} 目標達成・安定")
    await town.later(days=15)
    await town.says("takahashi", f"承認 {number}")
    await town.later(minutes=10)
    assert (await town.case(number)).stage == "closed"
    assert not [card for card in world.slack_cards(HASEGAWA) if card[2]]
    assert not [card for card in world.telegram.shown if card.chat == NAKAJIMA and card.buttons]


async def test_two_offers_of_one_evening_are_two_cards_of_one_push(world: World) -> None:
    """LINE counts what is pushed: two offers in the morning's bundle cost one, and what answers their buttons costs nothing."""
    town, line = world.town, world.line
    await link_everybody(world)
    await town.later(until=START.replace(hour=19))
    first, second = [await town.consented(), await town.consented()]
    for number in (first, second):
        await town.says("suzuki", f"依頼 {number} 家計相談 つばさ")
    await town.later(minutes=10)
    before, spent = len(line.shown), line.used
    await town.later(until=START + timedelta(days=1, minutes=15))

    (push,) = [one for one in line.shown[before:] if one.to == SATO]
    assert push.by == "push" and line.used == spent + 1
    (message,) = push.messages
    assert message["contents"]["type"] == "carousel" and message["altText"].startswith("お知らせ 2件\n")
    cards = [json.dumps(card, ensure_ascii=False) for card in push.bubbles]
    assert [(first in card, second in card) for card in cards] == [(True, False), (False, True)]
    assert [*push.cards[0]] == [*push.cards[1]] and "引き受けます" in push.cards[1]

    await world.sato(line.taps(SATO, "引き受けます", card=1))
    answer = line.last(SATO)
    assert "引き受けてくださり" in answer.text and (answer.by, line.used) == ("reply", spent + 1)
    one, other = [(await town.case(number)).handoffs[0] for number in (first, second)]
    assert (one.state, other.state, other.holder) == ("offered", "accepted", "sato")
    await world.sato(line.taps(SATO, "引き受けます", card=0))
    one = (await town.case(first)).handoffs[0]
    assert (one.state, one.holder) == ("accepted", "sato")


# A platform is one class


class Pigeon:
    """A platform of slips: four buttons, changed where they lie. What it is posted is JSON with a password."""

    name = "pigeon"
    inside = False
    caps = Caps(buttons=4, label=20, text=600, edit=True)

    def __init__(self) -> None:
        self.slips: list[tuple[str, dict[str, Any]]] = []  #: (conversation, what lies there)

    def missing(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        """Nothing is open."""

    def render(self, message: Message) -> dict[str, Any]:
        lines = (message.title or "", message.text, *(f"{a}: {b}" for a, b in message.facts))
        return {"says": "\n".join(filter(None, lines)), "buttons": {c.label: c.token for c in message.choices}}

    async def send(self, parcel: Parcel) -> Delivery:
        self.slips.append((parcel.to.conversation, self.render(parcel.message)))
        return Sent(f"{len(self.slips) - 1}")

    async def edit(self, ref: Ref, message: Message) -> Delivery:
        if int(ref.id) >= len(self.slips):
            return Gone("no such slip")
        self.slips[int(ref.id)] = (ref.address.conversation, self.render(message))
        return Sent(ref.id)

    async def take(self, hook: Hook, hand: Hand) -> Ack:
        slip = json.loads(hook.body)
        if hook.headers.get("x-password") != "coo":
            return FORGED
        what = Chose(slip["pressed"]) if "pressed" in slip else Said(slip["said"])
        await hand(Inbound(slip["id"], Sender(self.name, slip["who"]), Address(self.name, slip["who"]), what))
        return Ack()

    async def heed(self, event: Inbound) -> None:
        """A pigeon waits for nothing."""


async def test_a_platform_is_one_class(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It receives, renders, sends, edits, gets an answer: nothing of ours but `make` has heard of it."""
    pigeon: Outside = (toy := Pigeon())
    assert isinstance(toy, Editor) and isinstance(toy, Hooked)
    town = await Town.found(database, tmp_path, adapters={"pigeon": pigeon})
    await town.app.store.transact(lambda tx: people.link(tx, "pigeon", "loft-3", "ishii", town.now))
    transport = httpx2.ASGITransport(app=routes(town.app))
    async with httpx2.AsyncClient(transport=transport, base_url=HOME) as door:

        async def flies(password: str = "coo", **slip: str) -> int:
            slip = {"id": f"slip-{len(toy.slips)}", "who": "loft-3", **slip}
            answer = await door.post("/hooks/pigeon", json=slip, headers={"X-Password": password})
            await town.later(minutes=3)
            return answer.status_code

        number = await town.consented()
        await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
        await town.later(minutes=3)
        ((to, offer),) = toy.slips
        assert to == "loft-3" and number in offer["says"]
        assert len(offer["buttons"]) == 4 and "\n1. 引き受けます\n" in offer["says"], "the others go by their number"

        token = offer["buttons"]["引き受けます"]
        assert await flies(pressed=token, password="hiss") == 401
        assert (await town.case(number)).handoffs[0].state == "offered"
        assert await flies(pressed=token) == 200
        handoff = (await town.case(number)).handoffs[0]
        assert (handoff.state, handoff.holder) == ("accepted", "ishii")
        (_, card), (_, answer) = toy.slips
        assert "引受済になりました" in card["says"] and "引き受けます" not in card["buttons"], "changed where it lay"
        assert "ありがとうございます" in answer["says"]
        assert await flies(pressed=token) == 200
        assert "ようすが変わりました" in toy.slips[-1][1]["says"], "a slip in somebody's pocket has an old button"
        assert await flies(pressed=card["buttons"]["つながりました"]) == 200
        assert (await town.case(number)).handoffs[0].state == "active"
        assert await flies(said=number) == 200
        assert number in toy.slips[-1][1]["says"]
    await whole(town, caplog)
    await town.close()
