"""Telegram: the real SDK against a Bot API on loopback that refuses and misbehaves as Telegram does."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.base import (
    FORGED,
    Ack,
    Address,
    Choice,
    Chose,
    Gone,
    Hook,
    Inbound,
    Later,
    Linking,
    Message,
    Moved,
    Odd,
    Parcel,
    Reachable,
    Ref,
    Refused,
    Said,
    Sent,
    Unknown,
    fit,
)  # fmt: skip
from adapters.telegram import Telegram
from tests.fakes.telegram import FakeTelegram, Mischief, check
from tests.wire.check import fault

SECRET = "a-secret_of-the-town"
SUZUKI, TANAKA, ROOM, SUPER = 4001, 4002, -5001, -1005001
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOKEN = "k" * 21
OFFER = Message(
    "385-267-52 あじさい: 就労相談の依頼です。",
    "返事をお願いします",
    (("期限", "6月3日 17:15"),),
    (
        Choice("引き受ける", "引受 385-267-52", "primary", TOKEN + "0"),
        Choice("辞退", "辞退 385-267-52", token=TOKEN + "1"),
    ),
)
TAKEN = Message("385-267-52 あじさい: みどり さんが引き受けました。")


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    found = await FakeTelegram(chats={SUZUKI: "", TANAKA: "", ROOM: "", SUPER: ""}).start()
    yield found
    await found.stop()


@pytest.fixture
async def bot(fake: FakeTelegram) -> AsyncIterator[Telegram]:
    found = Telegram(fake.token, SECRET, fake.url, timeout=0.5, wait=1, pause=0.01)
    yield found
    await found.close()


def letter(chat: int | str, message: Message = OFFER, thread: str | None = None) -> Parcel:
    return Parcel(Address("telegram", str(chat), thread), fit(message, Telegram.caps), "8b0c…", NOW)


def hook(update: object, secret: str | None = SECRET) -> Hook:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    return Hook(headers, update if isinstance(update, bytes) else json.dumps(update).encode())


class Inbox:
    """What has been kept; it can be out of order for the next few events."""

    def __init__(self) -> None:
        self.kept: list[Inbound] = []
        self.broken = 0
        self.came = asyncio.Event()

    async def hand(self, event: Inbound) -> None:
        if self.broken:
            self.broken -= 1
            raise ConnectionError("no database")
        self.kept.append(event)
        self.came.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.kept) < count:
                self.came.clear()
                await self.came.wait()


async def happens(seen: Callable[[], object]) -> None:
    """Wait until something is so on the other side of the line."""
    async with asyncio.timeout(5):
        while not seen():  # noqa: ASYNC110 (the other side tells nobody)
            await asyncio.sleep(0.005)


# -- what Telegram says, as it says it


def person(id_: int = SUZUKI, **more: Any) -> dict[str, Any]:
    return {"id": id_, "is_bot": False, "first_name": "花子", "last_name": "鈴木", "language_code": "ja", **more}


def alone(id_: int = SUZUKI) -> dict[str, Any]:
    return {"id": id_, "type": "private", "first_name": "花子"}


def group(id_: int = ROOM, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "supergroup" if id_ < -(10**6) else "group", "title": "若葉", **more}


US = {"id": 777, "is_bot": True, "first_name": "つなぎ", "username": "tsunagi_nagare_bot"}


def note(text: str | None, chat: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    words = {} if text is None else {"text": text}
    found = {"message_id": 31, "date": 1_780_000_000, "from": person(), "chat": chat or alone(), **words, **more}
    return {"update_id": 901, "message": {k: v for k, v in found.items() if v is not None}}


def tap(data: str = TOKEN + "0", chat: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    card = {"message_id": 30, "date": 1_780_000_000, "from": US, "chat": chat or alone(), "text": "…"}
    query = {
        "id": "4382bfdwdsb323b2d9",
        "from": person(),
        "chat_instance": "-77",
        "data": data,
        "message": card,
        **more,
    }
    return {"update_id": 902, "callback_query": {k: v for k, v in query.items() if v is not None}}


#: What Telegram says of a rank beside its name: every right, and until when.
MAY_LEAD = {f"can_{right}": False for right in (
    "be_edited", "change_info", "delete_messages", "delete_stories", "edit_stories", "invite_users", "manage_chat", "manage_video_chats",
    "post_stories", "promote_members", "restrict_members", "send_welcome_messages",
)}  # fmt: skip
MAY_SPEAK = {f"can_{right}": False for right in (
    "add_web_page_previews", "change_info", "edit_tag", "invite_users", "manage_topics", "pin_messages", "react_to_messages", "send_audios",
    "send_documents", "send_messages", "send_other_messages", "send_photos", "send_polls", "send_video_notes", "send_videos", "send_voice_notes",
)}  # fmt: skip
RANKS: dict[str, dict[str, Any]] = {
    "administrator": {"is_anonymous": False, **MAY_LEAD},
    "kicked": {"until_date": 0},
    "restricted": {"until_date": 0, **MAY_SPEAK},
}


def member(before: str, after: str, chat: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    def as_(status: str) -> dict[str, Any]:
        return {"user": US, "status": status, **RANKS.get(status, {}), **(more if status == "restricted" else {})}

    change = {"chat": chat or alone(), "from": person(), "date": 1_780_000_000}
    return {
        "update_id": 903,
        "my_chat_member": {**change, "old_chat_member": as_(before), "new_chat_member": as_(after)},
    }


def reply_to(user: dict[str, Any]) -> dict[str, Any]:
    return {"message_id": 3, "date": 1_780_000_000, "chat": group(), "from": user, "text": "…"}


PHOTO = [{"file_id": "f", "file_unique_id": "u", "width": 9, "height": 9}]
STICKER = {
    "file_id": "f", "file_unique_id": "u", "type": "regular", "width": 9, "height": 9, "is_animated": False, "is_video": False,
}  # fmt: skip
VOICE = {"file_id": "f", "file_unique_id": "u", "duration": 3}
FORWARDED = {"type": "hidden_user", "date": 1_780_000_000, "sender_user_name": "だれか"}
CHANNEL = {"id": -1009, "type": "channel", "title": "広報"}

HEARD: dict[str, tuple[dict[str, Any], object]] = {
    "words": (note("今日"), Said("今日")),
    "a command": (note("/tsunagi 今日"), Said("今日")),
    "a command in capitals, to us by name": (note("/Tsunagi@tsunagi_nagare_bot 今日"), Said("今日")),
    "a Japanese command": (note("/引受 385-267-52"), Said("引受 385-267-52")),
    "the slash of a Japanese keyboard": (note("／引受 385-267-52"), Said("引受 385-267-52")),
    "a command over two lines": (note("/引受\n385-267-52"), Said("引受 385-267-52")),
    "/help": (note("/help"), Said("help")),
    "a bare command": (note("/tsunagi"), Said("")),
    "a one-time code": (note("/start A_b-9" + "c" * 40), Linking("A_b-9" + "c" * 40)),
    "/start": (note("/start"), Reachable(True)),
    "/start with something else": (note("/start だれか"), Reachable(True)),
    "a code too long to be one": (note("/start " + "c" * 65), Reachable(True)),
    "a code said before others": (note("/start@tsunagi_nagare_bot A_b-9", group()), None),
    "a code in a private chat that is another's": (note("/start A_b-9", alone(TANAKA)), None),
    "a tap": (tap(), Chose(TOKEN + "0")),
    "a tap in a group": (tap(chat=group()), Chose(TOKEN + "0")),
    "a tap on a card too old to be shown": (tap(message={"message_id": 30, "date": 0, "chat": alone()}), Chose(TOKEN + "0")),
    "a tap on nothing of ours": (tap(message=None, inline_message_id="AA"), None),
    "a tap by a bot": (tap(**{"from": {**US, "id": 9}}), None),
    "a tap in a channel": (tap(chat=CHANNEL), None),
    "a game": (tap(data=None, game_short_name="g"), None),  # type: ignore[arg-type]
    "blocked": (member("member", "kicked"), Reachable(False)),
    "unblocked": (member("kicked", "member"), Reachable(True)),
    "silenced in a group": (member("member", "restricted", group(), is_member=True), None),
    "gone from a group, silenced before": (member("restricted", "left", group(), is_member=True), Reachable(False)),
    "added to a group": (member("left", "member", group()), Reachable(True)),
    "thrown out of a group": (member("administrator", "kicked", group()), Reachable(False)),
    "another rank in a group": (member("member", "administrator", group()), None),
    "added to a channel": (member("left", "administrator", CHANNEL), None),
    "the old group moved": (note(None, group(), migrate_to_chat_id=SUPER), Moved(str(SUPER))),
    "the new group was one": (note(None, group(SUPER), migrate_from_chat_id=ROOM), Moved(str(SUPER))),
    "moved by an anonymous admin": (note(None, group(), migrate_to_chat_id=SUPER, sender_chat=group()), Moved(str(SUPER))),
    "a photo": (note(None, photo=PHOTO, caption="引受 385-267-52"), Odd("photo")),
    "a sticker": (note(None, sticker=STICKER), Odd("sticker")),
    "a voice message": (note(None, voice=VOICE), Odd("voice")),
    "a place": (note(None, location={"latitude": 35.1, "longitude": 139.2}), Odd("location")),
    "forwarded words": (note("引受 385-267-52", forward_origin=FORWARDED), Odd("forward")),
    "words through another bot": (note("引受", via_bot={**US, "id": 9}), Odd("forward")),
    "a sticker among others": (note(None, group(), sticker=STICKER), None),
    "a sticker in reply to us": (note(None, group(), sticker=STICKER, reply_to_message=reply_to(US)), Odd("sticker")),
    "talk among others": (note("今日は暑いですね", group()), None),
    "talk with another": (note("了解です", group(), reply_to_message=reply_to(person(TANAKA))), None),
    "a reply to us": (note("2", group(), reply_to_message=reply_to(US)), Said("2")),
    "a mention": (note("@Tsunagi_Nagare_Bot 今日", group()), Said("今日")),
    "a mention at the end": (note("今日 @tsunagi_nagare_bot", group()), Said("今日")),
    "a mention of a person": (note("@tanaka_midori 今日", group()), None),
    "a mail address": (note("tanaka@tsunagi_nagare_bot", group()), None),
    "a command in a group": (note("/tsunagi 今日", group()), Said("今日")),
    "somebody joined": (note(None, group(), new_chat_members=[person(TANAKA)]), None),
    "somebody pinned": (note(None, group(), pinned_message=reply_to(US)), None),
    "a bot": (note("今日", **{"from": {**US, "id": 9}}), None),
    "our own echo": (note("今日", **{"from": US}), None),
    "an anonymous admin": (note("/tsunagi 今日", group(), sender_chat=group()), None),
    "nobody": (note("今日", **{"from": None}), None),
    "a channel's post": ({"update_id": 1, "channel_post": note("今日", CHANNEL)["message"]}, None),
    "an edit": ({"update_id": 1, "edited_message": note("今日", edit_date=1_780_000_001)["message"]}, None),
    "a reaction": (
        {"update_id": 1, "message_reaction": {"chat": alone(), "message_id": 3, "date": 1, "old_reaction": [], "new_reaction": []}},
        None,
    ),
    "a new kind of update": ({"update_id": 1, "telepathy": {"text": "今日"}}, None),
    "a new kind of message": (note(None, telepathy={"x": 1}), None),
    "a reply to something new": (
        note("2", group(), reply_to_message=reply_to(US) | {"gift": {"new": 1}}, quote=7, external_reply={"origin": 3}), Said("2"),
    ),
    "a new field": (note("今日", mood={"x": 1}), Said("今日")),
}  # fmt: skip


#: Updates that are none by the Bot API's own types.
TOMORROW = {"nobody", "a reply to something new"}


@pytest.mark.parametrize("name", HEARD)
def test_an_update_is_heard_as_what_it_is(name: str) -> None:
    update, what = HEARD[name]
    unlike = fault("telegram.update", update)
    assert bool(unlike) == (name in TOMORROW), unlike or "the Bot API knows it by now"
    heard = Telegram("777:x").hear(update)
    assert [e.what for e in heard] == ([] if what is None else [what])


def test_an_event_says_who_where_and_in_which_language() -> None:
    bot = Telegram("777:x")
    (said,) = bot.hear(note("今日"))
    assert (said.id, said.natural) == ("777:901", f"777:{SUZUKI}:31")
    assert (said.sender.account, said.language, said.private) == (str(SUZUKI), "ja", True)
    assert said.address == Address("telegram", str(SUZUKI))
    (tapped,) = bot.hear(tap(chat=group(SUPER)))
    assert (tapped.reply, tapped.private, tapped.address.conversation) == ("4382bfdwdsb323b2d9", False, str(SUPER))
    (topic,) = bot.hear(note("/tsunagi 今日", group(SUPER), is_topic_message=True, message_thread_id=12))
    assert topic.address.thread == "12"
    (unthreaded,) = bot.hear(note("/tsunagi 今日", group(SUPER), message_thread_id=12))
    assert unthreaded.address.thread is None, "a chain of replies is no topic"


def test_both_signs_of_a_migration_are_one_act() -> None:
    """The old group says where to, the new one from where (fault 32)."""
    bot = Telegram("777:x")
    (old,) = bot.hear(note(None, group(), migrate_to_chat_id=SUPER))
    (new,) = bot.hear(note(None, group(SUPER), migrate_from_chat_id=ROOM) | {"update_id": 999})
    assert old.natural == new.natural and old.address == new.address == Address("telegram", str(ROOM))


async def test_once_our_name_is_known_another_bots_commands_are_not_ours(bot: Telegram) -> None:
    assert bot.hear(note("/weather@tenki_bot", group())) != (), "before, privacy mode alone decides"
    assert bot.link("A_b-9") == ""
    assert await bot.who() == Sent("tsunagi_nagare_bot")
    assert bot.hear(note("/weather@tenki_bot", group())) == ()
    assert bot.hear(note("@tenki_bot 今日", group())) == ()
    assert bot.hear(note("@tsunagi_nagare_bot 今日", group()))[0].what == Said("今日")
    assert bot.link("A_b-9") == "https://t.me/tsunagi_nagare_bot?start=A_b-9"


# -- nothing that comes in breaks anything

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
real = st.sampled_from([update for update, _ in HEARD.values()])


def spots(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a payload."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in inner for spot in spots(item, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real update with up to three places in it changed or gone."""
    update = deepcopy(draw(real))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(spots(update)[1:] or [("update_id",)]))
        place: Any = update
        for key in path[:-1]:
            place = place[key]
        if draw(st.booleans()) and isinstance(place, dict):
            place.pop(path[-1], None)
        else:
            place[path[-1]] = deepcopy(draw(json_values | real))
    return update


def is_sound(event: Inbound) -> bool:
    words = [event.id, event.natural, event.language, event.reply, event.sender.account, event.address.conversation]
    inner = [getattr(event.what, name) for name in type(event.what).__slots__]
    return all(isinstance(w, str) for w in words) and all(isinstance(i, str | bool) for i in inner)


@given(json_values | mutated())
@example({"update_id": 1, "message": {"message_id": 1, "date": 10**20, "chat": alone(), "from": person(), "text": "x"}})
@example(note("\ud83d 今日"))
def test_whatever_is_posted_becomes_sound_events_or_nothing(update: object) -> None:
    heard = Telegram("777:x").hear(update)
    assert all(map(is_sound, heard))

    async def take() -> None:
        inbox = Inbox()
        assert await Telegram("777:x", SECRET).take(hook(update), inbox.hand) == Ack()
        assert [e.what for e in inbox.kept] == [e.what for e in heard]

    asyncio.run(take())


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"1" * 9_000, b"null", b'"x"', b"[[]]"])
async def test_a_body_that_is_no_update_is_silence(body: bytes) -> None:
    inbox = Inbox()
    assert await Telegram("777:x", SECRET).take(hook(body), inbox.hand) == Ack()
    assert not inbox.kept


# -- the hook


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", "秘密", "\udcff"])
async def test_a_hook_without_our_secret_is_forged(secret: str | None) -> None:
    """No secret token, or another (fault 14)."""
    inbox = Inbox()
    assert await Telegram("777:x", SECRET).take(hook(note("今日"), secret), inbox.hand) == FORGED
    assert await Telegram("777:x", "").take(hook(note("今日"), secret), inbox.hand) == FORGED, "nothing is no secret"
    assert not inbox.kept


async def test_what_could_not_be_kept_is_not_acknowledged() -> None:
    inbox = Inbox()
    inbox.broken = 1
    bot = Telegram("777:x", SECRET)
    with pytest.raises(ConnectionError):
        await bot.take(hook(note("今日")), inbox.hand)
    assert await bot.take(hook(note("今日")), inbox.hand) == Ack()
    assert [e.what for e in inbox.kept] == [Said("今日")]


async def test_telegram_posts_with_our_secret_once_it_was_told_where(fake: FakeTelegram, bot: Telegram) -> None:
    inbox = Inbox()

    async def door(request: web.Request) -> web.Response:
        headers = {k.lower(): v for k, v in request.headers.items()}
        ack = await bot.take(Hook(headers, await request.read()), inbox.hand)
        return web.Response(status=ack.status, body=ack.body)

    async with serving(door) as url:
        assert isinstance(await bot.post_to(url), Sent)
        assert "my_chat_member" in fake.allowed, "else nobody learns of a block"
        assert await fake.happen({"message": note("今日")["message"]}) == 200
        fake.secret = "somebody else's"
        assert await fake.happen({"message": note("今日")["message"]}) == 401
    assert [e.what for e in inbox.kept] == [Said("今日")]
    assert isinstance(await bot.post_to(""), Sent) and fake.webhook == ""


@asynccontextmanager
async def serving(door: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hooks/telegram", door)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}/hooks/telegram".format(*runner.addresses[0][:2])
    await runner.cleanup()


# -- out


async def test_a_card_is_sent_tapped_heeded_and_brought_up_to_date(fake: FakeTelegram, bot: Telegram) -> None:
    sent = {chat: await bot.send(letter(chat)) for chat in (SUZUKI, TANAKA, ROOM)}
    assert sent[SUZUKI] == Sent(f"{SUZUKI}:1")
    assert fake.texts(SUZUKI) == ["返事をお願いします\n385-267-52 あじさい: 就労相談の依頼です。\n\n期限: 6月3日 17:15"]
    assert fake.shown[0].buttons == [("引き受ける", TOKEN + "0"), ("辞退", TOKEN + "1")]

    fake.taps.add("4382bfdwdsb323b2d9")
    (event,) = bot.hear(tap(fake.shown[0].buttons[0][1]))
    await bot.heed(event)
    await bot.heed(event)
    assert fake.answered == ["4382bfdwdsb323b2d9"], "the second was too old, and that is nothing"

    for ref in sent.values():
        assert isinstance(ref, Sent)
        assert await bot.edit(Ref(Address("telegram", ""), ref.ref), TAKEN) == ref
        assert await bot.edit(Ref(Address("telegram", ""), ref.ref), TAKEN) == ref, "not modified is done"
    assert {(s.text, s.edits, len(s.buttons)) for s in fake.shown} == {(TAKEN.text, 1, 0)}


async def test_a_heed_that_fails_is_only_a_spinner(
    fake: FakeTelegram, bot: Telegram, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (event,) = bot.hear(tap())
    fake.next("answerCallbackQuery", Mischief(502), Mischief(429), Mischief(cut=True))
    for _ in range(3):
        await bot.heed(event)
    assert caplog.text.count("a tap was not acknowledged") == 3
    await bot.heed(bot.hear(note("今日"))[0])
    # One that gave up before Telegram had read it is not among them.
    assert set(fake.calls) == {"answerCallbackQuery"} and len(fake.calls) <= 3


def refusing(status: int, words: str, **parameters: int) -> Mischief:
    answer: dict[str, Any] = {"ok": False, "error_code": status, "description": words}
    return Mischief(status, answer | ({"parameters": parameters} if parameters else {}))


#: What befalls a letter, what is said of it, and how often it is seen.
DELIVERIES: dict[str, tuple[Mischief | None, object, int]] = {
    "429 with a time": (refusing(429, "Too Many Requests: retry after 30", retry_after=30), Later(timedelta(seconds=30), "429"), 0),
    "429 without a time": (refusing(429, "Too Many Requests"), Later(timedelta(seconds=10), "429"), 0),
    "429 of a proxy": (Mischief(429, "slow down"), Later(timedelta(seconds=10), "429"), 0),
    "429 for ever": (refusing(429, "Too Many Requests", retry_after=10**9), Later(timedelta(days=1), "429"), 0),
    "500": (refusing(500, "Internal Server Error"), Unknown, 0),
    "502 after it was shown": (Mischief(502, accept=True), Unknown, 1),
    "502 of a proxy": (Mischief(502, "<html>bad gateway</html>"), Unknown, 0),
    "504": (Mischief(504, ""), Unknown, 0),
    "slow after it was shown": (Mischief(accept=True, slow=1.0), Unknown, 1),
    "the line cut after it was shown": (Mischief(accept=True, cut=True), Unknown, 1),
    "200 and no JSON": (Mischief(200, "ok"), Unknown, 0),
    "200 and a list": (Mischief(200, "[]"), Unknown, 0),
    "200 and nothing of a message": (Mischief(200, {"ok": True, "result": {"x": 1}}), Unknown, 0),
    "200 and no result": (Mischief(200, {"ok": True}), Unknown, 0),
    "blocked": (refusing(403, "Forbidden: bot was blocked by the user"), Gone("bot was blocked"), 0),
    "never started": (refusing(403, "Forbidden: bot can't initiate conversation with a user"), Gone("initiate conversation"), 0),
    "account closed": (refusing(403, "Forbidden: user is deactivated"), Gone("user is deactivated"), 0),
    "thrown out": (refusing(403, "Forbidden: bot was kicked from the supergroup chat"), Gone("bot was kicked"), 0),
    "an unknown 403 disables nobody": (refusing(403, "Forbidden: not today"), Refused("forbidden: not today"), 0),
    "no such chat": (refusing(400, "Bad Request: chat not found"), Gone("chat not found"), 0),
    "may not write": (refusing(400, "Bad Request: not enough rights to send text messages to the chat"), Gone("not enough rights"), 0),
    "moved": (
        refusing(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=SUPER),
        Gone("moved", Address("telegram", str(SUPER))), 0,
    ),
    "cannot be parsed": (refusing(400, 'Bad Request: can\'t parse entities: Unsupported start tag "花子"'), Refused, 0),
    "too long": (refusing(400, "Bad Request: message is too long"), Refused("message is too long"), 0),
    "token revoked": (refusing(401, "Unauthorized"), Gone("revoked", closed=True), 0),
    "token of no bot": (refusing(404, "Not Found"), Gone("revoked", closed=True), 0),
    "nothing at all": (None, Sent(f"{SUZUKI}:1"), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", DELIVERIES)
async def test_what_became_of_a_letter_is_a_value(fake: FakeTelegram, bot: Telegram, name: str) -> None:
    """Blocked is gone, an unknown 403 disables nobody (fault 33); 429 waits as long as it says (fault 29)."""
    befalls, expected, seen = DELIVERIES[name]
    fake.next("sendMessage", *filter(None, [befalls]))
    mine, others = await asyncio.gather(bot.send(letter(SUZUKI)), later(bot, TANAKA, fake))
    assert mine == expected if not isinstance(expected, type) else isinstance(mine, expected)
    assert "花子" not in str(mine)
    assert len(fake.texts(SUZUKI)) == seen, "never sent twice by itself"
    assert isinstance(others, Sent) and len(fake.texts(TANAKA)) == 1, "no other conversation is hindered"


async def later(bot: Telegram, chat: int, fake: FakeTelegram) -> object:
    """Send while the first letter is under way."""
    await happens(lambda: fake.calls)
    return await bot.send(letter(chat))


async def test_a_closed_port_is_later_and_a_silent_one_too() -> None:
    """Nobody listens at Telegram: surely not sent, so later (fault 4)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Telegram("777:x", SECRET, f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=0.5)
        assert await nobody.send(letter(SUZUKI)) == Later(timedelta(seconds=30), "not reached")
        assert await nobody.who() == Later(timedelta(seconds=30), "not reached")
        await nobody.close()


async def test_a_bot_without_a_token_says_so_and_sends_nothing() -> None:
    bare = Telegram("", "秘密")
    assert [w.partition(":")[0] for w in bare.missing()] == [
        "TSUNAGI_TELEGRAM_BOT_TOKEN",
        "TSUNAGI_TELEGRAM_SECRET_TOKEN",
    ]
    assert await bare.send(letter(SUZUKI)) == Gone("revoked", closed=True)
    assert Telegram("777:AAE-town", SECRET).missing() == ()


async def test_a_group_that_became_a_supergroup_gets_the_letter_once(fake: FakeTelegram, bot: Telegram) -> None:
    """Telegram refuses the old id and names the new one (fault 32)."""
    card = await bot.send(letter(ROOM))
    fake.migrate(ROOM, SUPER)
    gone = await bot.send(letter(ROOM, TAKEN))
    assert isinstance(gone, Gone) and gone.moved
    assert isinstance(await bot.send(replace(letter(ROOM, TAKEN), to=gone.moved)), Sent)
    assert fake.texts(SUPER) == [TAKEN.text]
    assert isinstance(card, Sent)
    assert await bot.edit(Ref(gone.moved, card.ref), TAKEN) == Gone("moved", Address("telegram", str(SUPER)))


async def test_a_topic_that_was_deleted_leaves_the_group(fake: FakeTelegram, bot: Telegram) -> None:
    assert isinstance(await bot.send(letter(SUPER, thread="12")), Sent)
    assert fake.shown[-1].thread == 12
    gone = await bot.send(letter(SUPER, thread="404"))
    assert gone == Gone("thread not found", Address("telegram", str(SUPER)))


EDITS: dict[str, tuple[Mischief, object]] = {
    "429": (refusing(429, "Too Many Requests", retry_after=7), Later(timedelta(seconds=7), "429")),
    "slow after it was done": (Mischief(accept=True, slow=1.0), Later),
    "502": (Mischief(502), Later),
    "deleted": (refusing(400, "Bad Request: message to edit not found"), Gone("message to edit not found")),
    "too old": (refusing(400, "Bad Request: message can't be edited"), Gone("message can't be edited")),
    "blocked": (refusing(403, "Forbidden: bot was blocked by the user"), Gone("bot was blocked")),
}


@pytest.mark.parametrize("name", EDITS)
async def test_an_edit_is_done_again_until_it_is_true(fake: FakeTelegram, bot: Telegram, name: str) -> None:
    """An edit made twice changes nothing; "not modified" is done, "not found" is gone (fault 35)."""
    befalls, expected = EDITS[name]
    card = await bot.send(letter(SUZUKI))
    assert isinstance(card, Sent)
    ref = Ref(Address("telegram", str(SUZUKI)), card.ref)
    fake.next("editMessageText", befalls)
    done = await bot.edit(ref, TAKEN)
    assert done == expected if not isinstance(expected, type) else isinstance(done, expected)
    assert await bot.edit(ref, TAKEN) == card
    assert (fake.texts(SUZUKI), fake.shown[0].edits) == ([TAKEN.text], 1)


@pytest.mark.parametrize("ref", ["", "4001", "4001:", ":1", "4001:x", "4001:99"])
async def test_a_card_that_is_not_there_is_gone(bot: Telegram, ref: str) -> None:
    assert isinstance(await bot.edit(Ref(Address("telegram", str(SUZUKI)), ref), TAKEN), Gone)


# -- what is sent fits

nasty = st.lists(
    st.sampled_from(["👨‍👩‍👧‍👦", "👍🏽", "が", "e\u0301\u0323", "\u202eمرحبا", "שלום", "<!channel>", "<b>", "&amp;", "&lt", "\n", " ", "\u200b",
                     "\u3164", "🇯🇵", "相談", "@town_hall", "/start", "*_`[", "\x00", "\x07", "𠮷"])
    | st.text(max_size=30)
).map("".join)  # fmt: skip
long = st.builds(lambda text, times: text * times, nasty, st.integers(1, 300)).map(lambda t: t[:5_000])
choices = st.builds(
    Choice, nasty, nasty, st.sampled_from(["plain", "primary", "danger", "quiet"]), st.just(TOKEN + "12") | st.just("")
)
messages = st.builds(
    Message, nasty | long, st.none() | nasty | long, st.lists(st.tuples(nasty, nasty | long), max_size=25).map(tuple),
    st.lists(choices, max_size=30).map(tuple),
)  # fmt: skip


@given(messages)
@example(
    Message("👨‍👩‍👧‍👦" * 700, "題" * 5_000, (("名", "&" * 300),) * 25, (Choice("長" * 90, "x", token=TOKEN),) * 30)
)
@example(Message("", None, (), (Choice("", "x", token=TOKEN),)))
@example(Message("\u200b \n", "\u2060"))
@example(Message("<" * 5_000))
def test_no_message_is_more_than_telegram_takes(message: Message) -> None:
    fitted = fit(message, Telegram.caps)
    payload = Telegram("777:x").render(fitted)
    text, buttons = check(json.loads(json.dumps(payload)))
    assert not fault("telegram.sendMessage", {"chat_id": SUZUKI, **payload}), (
        "the Bot API's own types know nothing of it"
    )
    assert len(buttons) <= 8
    assert payload == Telegram("777:x").render(fitted), "the same message, the same payload"
    if fitted.text.strip().isalnum():
        assert fitted.text.strip() in text, "what was written is what is read"


@pytest.mark.parametrize("half", ["\ud83d", "x\udc00y"])
def test_half_a_letter_is_left_out(half: str) -> None:
    payload = Telegram("777:x").render(Message(half, half, ((half, half),), (Choice(half, "x", token=TOKEN),)))
    json.dumps(payload, ensure_ascii=False).encode()
    check(payload)


# -- asked for, where nobody can post to us


@asynccontextmanager
async def listening(
    bot: Telegram, inbox: Inbox, lease: Callable[[], bool] = lambda: True
) -> AsyncIterator[asyncio.Task[None]]:
    async def held() -> bool:
        return lease()

    task = asyncio.create_task(bot.listen(inbox.hand, held))
    yield task
    assert not task.done(), "it listens until it is cancelled"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_update_is_confirmed_only_when_it_is_kept(fake: FakeTelegram, bot: Telegram) -> None:
    inbox = Inbox()
    inbox.broken = 2
    first = fake.next_update + 1
    await fake.happen(note("今日"))
    await fake.happen({"message": note("一覧")["message"]})
    async with listening(bot, inbox):
        await inbox.until(2)
        await happens(lambda: first + 2 in fake.offsets)
    assert [e.what for e in inbox.kept] == [Said("今日"), Said("一覧")]
    assert fake.offsets[:4] == [None, None, None, first + 2], "asked again for what was not kept"
    assert not fake.updates


async def test_one_unreadable_update_stops_nobody(fake: FakeTelegram, bot: Telegram) -> None:
    inbox = Inbox()
    await fake.happen({"message": {"chat": "?"}}, known=False)
    await fake.happen({"telepathy": {}}, known=False)
    await fake.happen({"message": note("今日")["message"]})
    async with listening(bot, inbox):
        await inbox.until(1)
    assert [e.what for e in inbox.kept] == [Said("今日")]


async def test_after_a_quiet_time_telegram_may_count_from_anywhere(fake: FakeTelegram, bot: Telegram) -> None:
    inbox = Inbox()
    async with listening(bot, inbox):
        await fake.happen({"message": note("今日")["message"]})
        await inbox.until(1)
        await happens(lambda: fake.offsets[-1] is None and len(fake.offsets) > 2)
        fake.next_update = 5
        await fake.happen({"message": note("一覧", message_id=32)["message"]})
        await inbox.until(2)
    assert [e.id for e in inbox.kept] == ["777:901", "777:6"]


TROUBLE: dict[str, tuple[Mischief, str]] = {
    "two pollers": (refusing(409, "Conflict: terminated by other getUpdates request"), "somebody else asks"),
    "a webhook": (refusing(409, "Conflict: can't use getUpdates method while webhook is active"), "a webhook is set"),
    "revoked": (refusing(401, "Unauthorized"), "the token is refused"),
    "502": (Mischief(502, "<html>"), "NetworkError"),
    "429": (refusing(429, "Too Many Requests", retry_after=1), "again in 1 s"),
    "cut": (Mischief(cut=True), "NetworkError"),
    "no list": (Mischief(200, {"ok": True, "result": {}}), "TelegramError"),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_trouble_is_a_line_in_the_log_and_a_pause(
    fake: FakeTelegram, bot: Telegram, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    befalls, words = TROUBLE[name]
    inbox = Inbox()
    fake.next("getUpdates", befalls)
    await fake.happen({"message": note("今日")["message"]})
    async with listening(bot, inbox):
        await inbox.until(1)
    assert words in caplog.text and len(inbox.kept) == 1


async def test_only_who_holds_the_lease_asks(fake: FakeTelegram, bot: Telegram) -> None:
    inbox, ours, asked = Inbox(), False, 0

    def lease() -> bool:
        nonlocal asked
        asked += 1
        return ours

    await fake.happen({"message": note("今日")["message"]})
    async with listening(bot, inbox, lease):
        await happens(lambda: asked > 5)
        assert "getUpdates" not in [call for call, *_ in fake.calls] and not inbox.kept
        ours = True
        await inbox.until(1)


# -- what the log says


async def test_the_log_knows_no_token_no_words_and_no_name(
    fake: FakeTelegram, bot: Telegram, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    inbox = Inbox()
    fake.next("sendMessage", *(befalls for befalls, *_ in DELIVERIES.values() if befalls and not befalls.slow))
    for _ in DELIVERIES:
        await bot.send(letter(SUZUKI))
    fake.next("getUpdates", *(befalls for befalls, _ in TROUBLE.values() if befalls.status != 429))
    await fake.happen({"message": note("385-267-52 を引き受けます")["message"]})
    await fake.happen({"message": {"chat": "?", "text": "385-267-52 を引き受けます"}}, known=False)
    async with listening(bot, inbox):
        await inbox.until(1)
        await happens(lambda: not fake.updates)
    await bot.heed(bot.hear(tap())[0])
    said = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    assert said
    for secret in (fake.token.partition(":")[2], SECRET, "引き受け", "あじさい", "花子", TOKEN, str(SUZUKI)):
        assert secret not in said


async def test_a_closed_bot_can_be_used_again(fake: FakeTelegram, bot: Telegram) -> None:
    assert isinstance(await bot.send(letter(SUZUKI)), Sent)
    await bot.close()
    await bot.close()
    assert isinstance(await bot.send(letter(SUZUKI)), Sent)
