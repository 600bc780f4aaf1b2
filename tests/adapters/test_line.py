"""LINE over the wire: the real SDK against a LINE on loopback that misbehaves on command."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from linebot.v3.webhooks import Event

from adapters.base import (
    FORGED,
    Ack,
    Address,
    Choice,
    Chose,
    Delivery,
    Gone,
    Hook,
    Hooked,
    Inbound,
    Later,
    Linking,
    Message,
    Odd,
    Outside,
    Parcel,
    Reachable,
    Refused,
    Said,
    Sender,
    Sent,
    Unknown,
    cut,
    fit,
    together,
    utf16,
)
from adapters.line import AGAIN, PACE, Line, account_link, hear
from tests.fakes.line import MONTHLY, RATE, SECRET, TOKEN, Fault, LineFake, faults_of, hook, menu_faults, sign
from tests.wire.check import fault

SUZUKI, SATO, GROUP = f"U{1:032x}", f"U{2:032x}", f"C{3:032x}"
AT = datetime(2026, 6, 1, tzinfo=UTC)
OFFER = Message(
    "若葉さんへ、就労相談のお願いです。",
    "お願い あじさい 385-267-52",
    (("いつまで", "6月4日 17:15"), ("どこから", "地域包括支援センター北")),
    (
        Choice("引き受ける", "引受 385-267-52", "primary", "t" * 22),
        Choice("むずかしい", "辞退 385-267-52", "quiet", "u" * 22),
    ),
)
HELLO = Message("こんにちは。")


@pytest.fixture
async def line() -> AsyncIterator[LineFake]:
    async with LineFake() as found:
        yield found


@pytest.fixture
async def adapter(line: LineFake) -> AsyncIterator[Line]:
    found = Line(TOKEN, SECRET, line.url, timeout=0.5)
    yield found
    await found.close()


def parcel(message: Message = OFFER, to: str = SUZUKI, reply: str = "", key: str = "") -> Parcel:
    return Parcel(Address("line", to), fit(message, Line.caps), key or str(uuid4()), AT, reply)


async def heard(adapter: Line, *events: dict[str, Any]) -> list[Inbound]:
    """What the adapter hands on of a signed hook; every event is one that the vendor's models know."""
    for event in events:
        Event.from_dict(event)
    kept: list[Inbound] = []

    async def hand(event: Inbound) -> None:
        kept.append(event)

    headers, body = hook(*events)
    assert await adapter.take(Hook(headers, body), hand) == Ack()
    return kept


def test_it_is_an_adapter_with_a_hook_and_cannot_edit() -> None:
    line: Outside = Line(TOKEN, SECRET)  # made outside any loop: nothing is opened yet
    assert isinstance(line, Hooked)
    assert not hasattr(line, "edit")
    assert not line.caps.edit
    assert not line.inside


def test_what_is_missing_is_said_before_anybody_is_called() -> None:
    assert Line(TOKEN, SECRET).missing() == ()
    names = [sentence.split(":")[0] for sentence in Line("", "").missing()]
    assert names == ["TSUNAGI_LINE_CHANNEL_ACCESS_TOKEN", "TSUNAGI_LINE_CHANNEL_SECRET"]
    assert Line(TOKEN, "").missing() == Line("", "").missing()[1:]


async def test_an_offer_is_pushed_tapped_and_answered_for_nothing(line: LineFake, adapter: Line) -> None:
    """A card costs one push; what answers the tap is a reply, which is free."""
    assert await adapter.send(parcel()) == Sent(line.last(SUZUKI).id)
    assert line.used == 1
    assert list(line.last(SUZUKI).buttons) == ["引き受ける", "むずかしい"]

    (tap,) = await heard(adapter, line.taps(SUZUKI, "引き受ける"))
    assert tap.what == Chose("t" * 22)
    assert tap.sender == Sender("line", SUZUKI)
    assert tap.address == Address("line", SUZUKI)
    assert tap.private

    assert isinstance(await adapter.send(parcel(Message("助かります。"), reply=tap.reply)), Sent)
    assert (line.last(SUZUKI).by, line.last(SUZUKI).text, line.used) == ("reply", "助かります。", 1)


# What becomes of a letter

DOWN = Fault(503, "down")
TABLE: list[tuple[str, bool, list[Fault], Delivery, int]] = [
    # name, is it an answer, what goes wrong, the verdict, how often it lies in the conversation
    ("a push", False, [], Sent(), 1),
    ("a push, 429 by the second", False, [Fault(429, RATE)], Later(PACE, "rate"), 0),
    ("a push, 429 with Retry-After", False, [Fault(429, RATE, headers={"Retry-After": "3"})], Later(PACE, "rate"), 0),
    ("a push, 429 by the month", False, [Fault(429, MONTHLY)], Gone("quota", closed=True), 0),
    ("a push, 500", False, [Fault(500, "x")], Later(AGAIN, "500"), 0),
    ("a push, 503 after it was taken", False, [Fault(503, "x", accepted=True)], Later(AGAIN, "503"), 1),
    (
        "a push, 502 in another alphabet",
        False,
        [Fault(502, body="障害".encode("shift-jis"))],
        Later(AGAIN, "no answer"),
        0,
    ),
    (
        "a push, taken, the answer unreadable",
        False,
        [Fault(200, body=b"<p>", accepted=True)],
        Later(AGAIN, "no answer"),
        1,
    ),
    ("a push, taken, no answer in time", False, [Fault(hang=True, accepted=True)], Later(AGAIN, "no answer"), 1),
    ("a push, the line cut", False, [Fault(drop=True)], Later(AGAIN, "no answer"), 0),
    ("a push, 400", False, [Fault(400, "The request body has 1 error(s)")], Refused("400"), 0),
    ("a push, 413", False, [Fault(413, "too large")], Refused("413"), 0),
    ("a push, 401", False, [Fault(401, "x")], Gone("revoked", closed=True), 0),
    ("a push, 403", False, [Fault(403, "x")], Gone("forbidden"), 0),
    ("a reply", True, [], Sent(), 1),
    ("a reply, 400, then a push", True, [Fault(400, "Invalid reply token")], Sent(), 1),
    (
        "a reply, 400, then no push left",
        True,
        [Fault(400, "Invalid reply token"), Fault(429, MONTHLY)],
        Gone("quota", closed=True),
        0,
    ),
    ("a reply, 400, then a push, 503", True, [Fault(400, "Invalid reply token"), DOWN], Later(AGAIN, "503"), 0),
    ("a reply, 429", True, [Fault(429, RATE)], Later(PACE, "rate"), 0),
    ("a reply, 503 after it was taken", True, [Fault(503, "x", accepted=True)], Unknown("503"), 1),
    ("a reply, taken, no answer in time", True, [Fault(hang=True, accepted=True)], Unknown("no answer"), 1),
    ("a reply, the line cut", True, [Fault(drop=True)], Unknown("no answer"), 0),
    ("a reply, 401", True, [Fault(401, "x")], Gone("revoked", closed=True), 0),
]


@pytest.mark.parametrize(
    ("is_answer", "faults", "verdict", "shown"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
async def test_every_answer_of_line_is_a_value(
    line: LineFake, adapter: Line, is_answer: bool, faults: list[Fault], verdict: Delivery, shown: int
) -> None:
    reply = line.says(SUZUKI, "今日")["replyToken"] if is_answer else ""
    line.fails(*faults)
    outcome = await adapter.send(parcel(reply=reply))
    assert type(outcome) is type(verdict)
    assert isinstance(outcome, Sent) or "no answer" in repr(verdict) or outcome == verdict
    assert len(line.shown) == shown
    # and nobody else has noticed
    assert isinstance(await adapter.send(parcel(HELLO, SATO)), Sent)
    assert line.last(SATO).text == "こんにちは。"


@pytest.mark.parametrize(
    "after", [Fault(hang=True, accepted=True), Fault(503, accepted=True), Fault(drop=True, accepted=True)]
)
async def test_a_push_that_was_taken_is_never_shown_twice(line: LineFake, adapter: Line, after: Fault) -> None:
    """Taken, and the answer lost: the same key again shows one (fault 3)."""
    letter = parcel()
    line.fails(after)
    assert isinstance(await adapter.send(letter), Later)
    assert await adapter.send(letter) == Sent(line.last(SUZUKI).id)  # 409 repeats what was answered then
    assert [c.status for c in line.calls][-1] == 409
    assert {c.key for c in line.calls} == {letter.key}
    assert (len(line.shown), line.used) == (1, 1)


@pytest.mark.parametrize("reply", ["", "a-reply-token"])
async def test_what_never_left_is_sent_later(line: LineFake, reply: str) -> None:
    """Nobody listens at LINE: surely not sent, so later (fault 4)."""
    async with LineFake() as nobody:
        port = nobody.url
    adapter = Line(TOKEN, SECRET, port)
    try:
        assert await adapter.send(parcel(reply=reply)) == Later(AGAIN, "ClientConnectorError")
    finally:
        await adapter.close()


async def test_a_reply_token_carries_one_answer_and_a_push_the_next(line: LineFake, adapter: Line) -> None:
    (asked,) = await heard(adapter, line.says(SUZUKI, "今日"))
    for _ in range(2):
        assert isinstance(await adapter.send(parcel(HELLO, reply=asked.reply)), Sent)
    assert [s.by for s in line.shown] == ["reply", "push"]
    assert [bool(c.key) for c in line.calls] == [False, False, True]


async def test_a_reply_token_older_than_a_minute_becomes_a_push(line: LineFake, adapter: Line) -> None:
    (asked,) = await heard(adapter, line.says(SUZUKI, "今日"))
    line.now += 61
    assert isinstance(await adapter.send(parcel(HELLO, reply=asked.reply)), Sent)
    assert [s.by for s in line.shown] == ["push"]


async def test_when_the_month_is_used_up_answers_still_go_and_the_figures_say_why(
    line: LineFake, adapter: Line
) -> None:
    """A used-up month is told apart from a full minute (fault 31)."""
    line.limit = 1
    assert isinstance(await adapter.send(parcel()), Sent)
    assert await adapter.quota() == (1, 1)
    assert await adapter.send(parcel(to=SATO)) == Gone("quota", closed=True)
    (asked,) = await heard(adapter, line.says(SATO, "つぎへ"))
    assert isinstance(await adapter.send(parcel(HELLO, SATO, asked.reply)), Sent)
    line.limit = None
    assert await adapter.quota() == (1, None)


async def test_a_push_to_a_group_counts_for_each_of_its_members(line: LineFake, adapter: Line) -> None:
    line.members[GROUP] = 4
    assert isinstance(await adapter.send(parcel(to=GROUP)), Sent)
    assert await adapter.quota() == (4, 200)


async def test_line_does_not_tell_who_has_blocked_us_but_the_event_did(line: LineFake, adapter: Line) -> None:
    (gone,) = await heard(adapter, line.event("unfollow", SUZUKI, replies=False))
    line.blocked.add(SUZUKI)
    assert gone.what == Reachable(False)
    assert isinstance(await adapter.send(parcel()), Sent)
    assert line.shown == []
    (back,) = await heard(adapter, line.event("follow", SUZUKI, follow={"isUnblocked": True}))
    assert back.what == Reachable(True)


async def test_an_address_that_takes_nothing_is_gone_and_the_letter_is_not_to_blame(
    line: LineFake, adapter: Line
) -> None:
    line.gone.add(GROUP)
    assert await adapter.send(parcel(to=GROUP)) == Gone("address")
    assert await adapter.send(parcel(to="U1234")) == Gone("address")


async def test_a_revoked_token_is_told_by_every_door(line: LineFake) -> None:
    stranger = Line("another-token", SECRET, line.url)
    try:
        assert await stranger.send(parcel()) == Gone("revoked", closed=True)
        with pytest.raises(ConnectionError, match="401"):
            await stranger.quota()
        with pytest.raises(ConnectionError, match="401"):
            await stranger.link_token(SUZUKI)
    finally:
        await stranger.close()


async def test_a_refusal_names_the_places_and_never_our_words(line: LineFake, adapter: Line) -> None:
    """Unfit on purpose: a label of 21, and a token that the SDK itself refuses."""
    long = Message("a", choices=(Choice("あ" * 21, "x", token="t"),))
    letter = Parcel(Address("line", SUZUKI), long, str(uuid4()), AT)
    where = "messages[0].contents.footer.contents[0].action.label"
    assert await adapter.send(letter) == Refused(f"400 {where}")
    broken = Message("a", choices=(Choice("い", "x", token="秘密" * 200),))
    outcome = await adapter.send(Parcel(Address("line", SUZUKI), broken, str(uuid4()), AT))
    assert outcome == Refused("ValidationError")


async def test_a_client_is_made_anew_after_it_was_closed(line: LineFake, adapter: Line) -> None:
    assert isinstance(await adapter.send(parcel()), Sent)
    await adapter.close()
    await adapter.close()
    assert isinstance(await adapter.send(parcel()), Sent)


# Who somebody is


async def test_line_itself_sees_to_it_that_the_link_was_opened_by_the_same_person(
    line: LineFake, adapter: Line
) -> None:
    token = await adapter.link_token(SUZUKI)
    assert account_link(token, "n+1") == f"https://access.line.me/dialog/bot/accountLink?linkToken={token}&nonce=n%2B1"
    (linked,) = await heard(adapter, line.links(SUZUKI, token, "a-nonce-of-ours"))
    assert (linked.what, linked.sender, linked.private) == (Linking("a-nonce-of-ours"), Sender("line", SUZUKI), True)
    assert linked.reply

    assert await heard(adapter, line.links(SUZUKI, token, "a-nonce-of-ours")) == []  # once
    forwarded = await adapter.link_token(SUZUKI)
    assert await heard(adapter, line.links(SATO, forwarded, "a-nonce-of-ours")) == []


# What is heard

HEARD: list[tuple[str, Callable[[LineFake], dict[str, Any]], object]] = [
    ("words", lambda f: f.says(SUZUKI, "引受 385-267-52"), Said("引受 385-267-52")),
    ("only blanks", lambda f: f.says(SUZUKI, " \n"), None),
    ("words with a NUL", lambda f: f.says(SUZUKI, "今\0日"), Said("今日")),
    ("follow", lambda f: f.event("follow", SUZUKI, follow={"isUnblocked": False}), Reachable(True)),
    ("unfollow", lambda f: f.event("unfollow", SUZUKI, replies=False), Reachable(False)),
    ("a tap", lambda f: f.event("postback", SUZUKI, postback={"data": "tok"}), Chose("tok")),
    ("a tap with nothing in it", lambda f: f.event("postback", SUZUKI, postback={"data": ""}), None),
    (
        "a sticker",
        lambda f: f.sends(
            SUZUKI, "sticker", packageId="1", stickerId="2", stickerResourceType="STATIC", quoteToken="q"
        ),
        Odd("sticker"),
    ),
    ("an image", lambda f: f.sends(SUZUKI, "image", contentProvider={"type": "line"}, quoteToken="q"), Odd("image")),
    ("a voice", lambda f: f.sends(SUZUKI, "audio", duration=900, contentProvider={"type": "line"}), Odd("audio")),
    (
        "a video",
        lambda f: f.sends(SUZUKI, "video", duration=9, contentProvider={"type": "line"}, quoteToken="q"),
        Odd("video"),
    ),
    ("a file", lambda f: f.sends(SUZUKI, "file", fileName="氏名.pdf", fileSize=9), Odd("file")),
    (
        "a place",
        lambda f: f.sends(SUZUKI, "location", latitude=35.0, longitude=139.0, address="ながれ市"),
        Odd("location"),
    ),
    ("standby", lambda f: f.says(SUZUKI, "今日") | {"mode": "standby"}, None),
    ("taken back", lambda f: f.event("unsend", SUZUKI, replies=False, unsend={"messageId": "1"}), None),
    ("a failed link", lambda f: f.event("accountLink", SUZUKI, link={"result": "failed", "nonce": "n"}), None),
    ("into a group", lambda f: f.event("join", "", GROUP), Reachable(True)),
    ("out of a group", lambda f: f.event("leave", "", GROUP, replies=False), Reachable(False)),
    (
        "somebody came",
        lambda f: f.event("memberJoined", "", GROUP, joined={"members": [{"type": "user", "userId": SATO}]}),
        None,
    ),
    ("talk in a group", lambda f: f.says(SUZUKI, "今日は雨ですね", GROUP), None),
    (
        "a picture in a group",
        lambda f: f.sends(SUZUKI, "image", GROUP, contentProvider={"type": "line"}, quoteToken="q"),
        None,
    ),
    ("named in a group", lambda f: f.says(SUZUKI, "👨‍👩‍👧 @つなぎ 一覧", GROUP, named="@つなぎ"), Said("👨‍👩‍👧  一覧")),
    ("named, and nothing else", lambda f: f.says(SUZUKI, "@つなぎ", GROUP, named="@つなぎ"), None),
    ("named by nobody", lambda f: f.says("", "@つなぎ 一覧", GROUP, named="@つなぎ"), None),
    ("a tap in a group", lambda f: f.event("postback", SUZUKI, GROUP, postback={"data": "tok"}), Chose("tok")),
    ("a tap of nobody", lambda f: f.event("postback", "", GROUP, postback={"data": "tok"}), None),
]


@pytest.mark.parametrize(("made", "what"), [row[1:] for row in HEARD], ids=[row[0] for row in HEARD])
async def test_what_people_do_is_heard_or_passed_over(
    line: LineFake, adapter: Line, made: Callable[[LineFake], dict[str, Any]], what: object
) -> None:
    event = made(line)
    found = await heard(adapter, event)
    assert [e.what for e in found] == ([] if what is None else [what])
    for each in found:
        assert each.private == (event["source"]["type"] == "user")
        assert each.address == Address("line", event["source"].get("groupId", SUZUKI))
        assert each.reply == event.get("replyToken", "")
        assert each.id == event["webhookEventId"]


async def test_what_line_delivers_again_is_the_same_event(line: LineFake, adapter: Line) -> None:
    """A redelivered event has its old name (fault 8)."""
    said = line.says(SUZUKI, "今日")
    first, second = await heard(adapter, said, line.again(said))
    assert (first.id, first.natural) == (second.id, second.natural)
    under_another_id = said | {"webhookEventId": "01JANOTHER"}
    (third,) = await heard(adapter, under_another_id)
    assert third.id != first.id
    assert third.natural == first.natural != ""


async def test_a_kind_of_event_nobody_knows_yet_does_not_hide_the_others(line: LineFake, adapter: Line) -> None:
    strange = line.says(SUZUKI, "x") | {"type": "hologram"}
    newer = line.says(SUZUKI, "一覧") | {"mode": "dreaming", "novelty": {"of": "2027"}}
    headers, body = hook(strange, newer, line.sends(SUZUKI, "smell", known=False))
    kept: list[Inbound] = []

    async def hand(event: Inbound) -> None:
        kept.append(event)

    assert await adapter.take(Hook(headers, body), hand) == Ack()
    assert [e.what for e in kept] == [Said("一覧"), Odd("other")]


# The hook


async def nobody(_event: Inbound) -> None:
    raise AssertionError("handed on")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-line-signature": ""},
        {"x-line-signature": "x"},
        {"x-line-signature": "é"},
        {"X-Line-Signature": "of the body"},
    ],
)
async def test_an_unsigned_hook_is_forged(line: LineFake, adapter: Line, headers: dict[str, str]) -> None:
    """No signature, or none of ours (fault 14)."""
    _, body = hook(line.says(SUZUKI, "引受"))
    assert await adapter.take(Hook(headers, body), nobody) == FORGED


async def test_a_signature_is_of_these_bytes_and_this_secret(line: LineFake, adapter: Line) -> None:
    headers, body = hook(line.says(SUZUKI, "引受"))
    assert await adapter.take(Hook(headers, body + b" "), nobody) == FORGED
    assert await adapter.take(Hook({"x-line-signature": sign(body, "another")}, body), nobody) == FORGED
    assert await adapter.take(Hook({"x-line-signature": sign(b"\xff")}, b"\xff"), nobody) == FORGED


async def test_without_a_secret_nobody_is_believed(line: LineFake) -> None:
    headers, body = hook(line.says(SUZUKI, "引受"), secret="")
    assert await Line(TOKEN, "").take(Hook(headers, body), nobody) == FORGED


async def test_the_console_s_verify_button_is_answered(adapter: Line) -> None:
    headers, body = hook()
    assert await adapter.take(Hook(headers, body), nobody) == Ack(200)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"events": 3}', b'{"events": [null, 3, []]}', b"[" * 100_000, b"9" * 5000]
)
async def test_signed_nonsense_is_silence(adapter: Line, body: bytes) -> None:
    assert await adapter.take(Hook({"x-line-signature": sign(body)}, body), nobody) == Ack()


async def test_what_could_not_be_kept_is_not_acknowledged(line: LineFake, adapter: Line) -> None:
    kept: list[str] = []

    async def full(event: Inbound) -> None:
        if kept:
            raise OSError("the disk is full")
        kept.append(event.id)

    first, second = line.says(SUZUKI, "今日"), line.says(SUZUKI, "一覧")
    headers, body = hook(first, second)
    with pytest.raises(OSError, match="full"):
        await adapter.take(Hook(headers, body), full)
    assert kept == [first["webhookEventId"]]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["user", "group", "text", "join", "\ud83d"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FAKE = LineFake()
REAL = [row[1](FAKE) for row in HEARD]


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


def with_other(value: Any, path: tuple[Any, ...], other: object) -> Any:
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = with_other(value[path[0]], path[1:], other)
    return copy


def is_whole(event: Inbound) -> None:
    """What a database takes, and what the rest of the house may rely on."""
    assert event.id and event.sender.account and event.address.conversation
    what = event.what
    words = [event.id, event.natural, event.reply, event.sender.account, event.address.conversation]
    words += [str(getattr(what, name)) for name in what.__slots__]
    for each in words:
        assert "\0" not in each
        each.encode()


@given(JSON)
def test_any_json_is_heard_as_events_or_nothing(payload: object) -> None:
    assert all(isinstance(e, Inbound) for e in hear(payload))
    for event in hear({"destination": "U", "events": payload}):
        is_whole(event)


@given(st.data())
def test_any_change_of_a_real_event_is_heard_as_events_or_nothing(data: st.DataObject) -> None:
    event: Any = data.draw(st.sampled_from(REAL))
    for _ in range(data.draw(st.integers(1, 3))):
        event = with_other(event, data.draw(st.sampled_from(places(event))), data.draw(JSON))
    for found in hear({"events": [event]}):
        is_whole(found)


@given(JSON | st.sampled_from(REAL))
async def test_any_signed_hook_is_acknowledged(payload: object) -> None:
    body = json.dumps({"events": [payload]}).encode()

    async def hand(event: Inbound) -> None:
        is_whole(event)

    assert await Line(TOKEN, SECRET).take(Hook({"x-line-signature": sign(body)}, body), hand) == Ack()


# What is shown

NASTY = st.sampled_from(
    [
        "👨‍👩‍👧‍👦",
        "👍🏽",
        "e\u0301\u0327",
        "שלום",
        "مرحبا",
        "<!channel>",
        "<b>&amp;",
        "\u202e",
        "🇯🇵",
        "\n",
        " ",
        '"\\',
        "\u0001",
        "葛\U000e0100",
        "が",
        "A",
    ]
)
LETTERS = st.characters(exclude_categories=["Cs"])
WORDS = st.builds(lambda bits, times: "".join(bits) * times, st.lists(NASTY | LETTERS, max_size=12), st.integers(1, 3))
LONG = WORDS | st.builds(lambda bit: (bit * 5000)[:5000], NASTY | LETTERS)
LABEL = WORDS.map(lambda label: label if label.strip() else f"{label}次")
MESSAGES = st.builds(
    Message,
    LONG,
    st.none() | LONG,
    st.lists(st.tuples(WORDS, LONG), max_size=25).map(tuple),
    st.lists(
        st.builds(Choice, LABEL, WORDS, st.sampled_from(["plain", "primary", "danger", "quiet"]), st.just("t" * 22)),
        max_size=30,
    ).map(tuple),
)


FAMILY, ACCENTS, ARABIC = "👨‍👩‍👧‍👦", "e\u0301\u0323", "\u202eمرحبا"
FULL = tuple(Choice(f"{FAMILY}{i}", "x", "danger", f"{i:022}") for i in range(30))


@given(MESSAGES)
@example(Message("<!channel>" * 500, FAMILY * 700, ((ACCENTS * 20, ARABIC * 700),) * 25, FULL))
@example(Message(FAMILY * 700, ARABIC * 700, (("&" * 300, ACCENTS * 1_700),) * 25, FULL))
def test_whatever_is_said_line_takes_it(message: Message) -> None:
    """By the vendor's models and types, and by units and bytes: nothing unknown, empty, too long or too many."""
    shown = Line(TOKEN, SECRET).render(fit(message, Line.caps))
    assert not fault("line.push", {"to": SUZUKI, **shown})
    assert faults_of(shown["messages"]) == []


@pytest.mark.parametrize("letter", ["あ", "👨‍👩‍👧‍👦", "\u0001", '"'])
@pytest.mark.parametrize("buttons", [0, 4, 13, 30])
def test_the_largest_card_is_taken_too(letter: str, buttons: int) -> None:
    most = letter * 5000
    choices = tuple(Choice((letter * 20)[:20].strip() or "次", "x", "primary", "t" * 22) for _ in range(buttons))
    for facts in (0, 5, 25):
        message = Message(most[:5000], most[:5000], ((most[:100], most[:5000]),) * facts, choices)
        assert faults_of(Line(TOKEN, SECRET).render(fit(message, Line.caps))["messages"]) == []


def bundle(messages: Sequence[Message]) -> Message:
    """Messages that leave together, each button named by its place in the whole."""
    places = count()
    cards = [
        replace(m, choices=tuple(replace(c, token=f"{'t' * 21}{next(places)}") for c in m.choices)) for m in messages
    ]
    return together(cards, f"お知らせ {len(cards)}件")


def shown_side_by_side(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bubbles of all carousels of a call, in the order in which they lie."""
    flex = [m["contents"] for m in messages if m["type"] == "flex"]
    return [bubble for each in flex for bubble in (each["contents"] if each["type"] == "carousel" else [each])]


def is_taken_whole(whole: Message) -> None:
    """LINE takes it as one push; every button brings back the place at which the whole has its choice."""
    content = Line(TOKEN, SECRET).render(fit(whole, Line.caps))
    messages = content["messages"]
    assert not fault("line.push", {"to": SUZUKI, **content})
    assert faults_of(messages) == []
    bubbles = shown_side_by_side(messages)
    assert len(bubbles) == min(len(whole.cards), 12)
    actions = [b["action"] for bubble in bubbles for b in bubble.get("footer", {}).get("contents", ())]
    assert len({a["data"] for a in actions}) == len(actions)
    for action in actions:
        place = int(action["data"].removeprefix("t" * 21))
        assert action["label"] == cut(whole.choices[place].label, 20, utf16)


@given(st.lists(MESSAGES, min_size=2, max_size=20))
@settings(max_examples=15 if settings.get_current_profile_name() == "usual" else 50)
@example([Message("長" * 5000, "題" * 300, (("事", "項" * 500),) * 25, FULL)] * 50)
@example([Message("\u0001" * 5000, "\u0001" * 300, (("\u0001" * 40, "\u0001"),) * 25, FULL[:6])] * 12)
@example([Message("\u0001" * 5000, "\u0001" * 300, (("\u0001", ""),) * 25, FULL)] * 13)
@example([Message(" "), Message("")] * 20)
def test_whatever_leaves_together_line_takes_it_too(messages: list[Message]) -> None:
    is_taken_whole(bundle(messages))


@pytest.mark.parametrize("letter", [FAMILY, "\u0001", " "])
@pytest.mark.parametrize("cards", [12, 50])
def test_the_largest_bundle_is_taken_too(letter: str, cards: int) -> None:
    for facts, buttons in ((0, 6), (25, 30)):
        choices = tuple(Choice((letter * 20)[:20].strip() or "次", "x", "primary") for _ in range(buttons))
        words = (letter * 5000)[:5000]
        is_taken_whole(bundle([Message(words, words[:2000], ((words[:40], words[:300]),) * facts, choices)] * cards))
        is_taken_whole(bundle([Message(words, None, ((words[:1], words[:1]),) * facts, choices)] * cards))


def test_what_leaves_together_lies_side_by_side_and_reads_aloud_as_one() -> None:
    other = Message("若葉さんへ、家計相談のお願いです。", "お願い かえで 429-163-90", OFFER.facts, OFFER.choices * 2)
    (push,) = Line(TOKEN, SECRET).render(fit(bundle([OFFER, other]), Line.caps))["messages"]
    assert push["altText"] == "お知らせ 2件\n若葉さんへ、就労相談のお願いです。\n\n若葉さんへ、家計相談のお願いです。"
    assert push["contents"]["type"] == "carousel"
    assert "quickReply" not in push, "a label alone does not tell whose it is"
    first, second = push["contents"]["contents"]
    (alone,) = Line(TOKEN, SECRET).render(fit(OFFER, Line.caps))["messages"]
    assert first["body"] == alone["contents"]["body"], "a card beside another looks as it does alone"
    assert "お願い かえで 429-163-90" in json.dumps(second["body"], ensure_ascii=False)
    tokens = [[b["action"]["data"][21:] for b in card["footer"]["contents"]] for card in (first, second)]
    assert tokens == [["0", "1"], ["2", "3", "4", "5"]]


def test_more_than_twelve_are_twelve_and_the_last_says_the_rest() -> None:
    offers = [replace(OFFER, text=f"{i}人目のお願いです。") for i in range(1, 16)]
    bubbles = shown_side_by_side(Line(TOKEN, SECRET).render(fit(bundle(offers), Line.caps))["messages"])
    assert len(bubbles) == 12 and "11人目" in str(bubbles[10]) and "12人目" not in str(bubbles[10])
    said = bubbles[11]["body"]["contents"][0]["text"]
    assert said.startswith(
        "\n\n".join(f"{i}人目のお願いです。" for i in (12, 13, 14, 15)) + "\n23. 引き受ける\n24. むずかしい"
    )
    assert said.endswith("\n30. むずかしい"), "a number is the same button's as in one text"
    assert [b["action"]["data"][21:] for b in bubbles[11]["footer"]["contents"]] == [f"{i}" for i in range(22, 28)]


def test_what_is_too_large_for_one_carousel_lies_in_two_of_one_push() -> None:
    """Twelve offers as towns write them are more than 50 KB as the SDK sends them."""
    facts = tuple((f"いま見える{i}", "相談番号・役割、共有できる理由 ご本人の同意") for i in range(6))
    choices = tuple(Choice(label, "x") for label in ("引き受けます", "条件付きで引き受ける", "検討して返事をする") * 2)
    offer = Message("地域包括支援センター北の鈴木さんから家計相談のお願いです。" * 3, "つなぎの依頼", facts, choices)
    first, second = Line(TOKEN, SECRET).render(fit(bundle([offer] * 12), Line.caps))["messages"]
    assert len(first["contents"]["contents"]) + len(second["contents"]["contents"]) == 12
    assert first["altText"] == second["altText"]


async def test_a_bundle_is_counted_once(line: LineFake, adapter: Line) -> None:
    assert isinstance(await adapter.send(parcel(bundle([OFFER] * 30))), Sent)
    assert (line.used, len(line.calls), len(line.last(SUZUKI).bubbles)) == (1, 1, 12)
    (tap,) = await heard(adapter, line.taps(SUZUKI, "むずかしい", card=1))
    assert tap.what == Chose("t" * 21 + "3")


def test_a_card_is_one_bubble_that_also_reads_aloud() -> None:
    (card,) = Line(TOKEN, SECRET).render(fit(OFFER, Line.caps))["messages"]
    assert card["altText"] == "お願い あじさい 385-267-52\n若葉さんへ、就労相談のお願いです。"
    assert "quickReply" not in card
    first = card["contents"]["footer"]["contents"][0]
    assert first["action"] == {"type": "postback", "label": "引き受ける", "data": "t" * 22, "displayText": "引き受ける"}
    assert "385-267-52" not in json.dumps(card["contents"]["footer"], ensure_ascii=False)


def test_words_alone_are_a_plain_message() -> None:
    assert Line(TOKEN, SECRET).render(HELLO) == {"messages": [{"type": "text", "text": "こんにちは。"}]}


def test_a_list_of_codes_is_at_the_thumb_and_stays_on_the_card() -> None:
    """Quick replies are gone after the next message, and never on a computer."""
    reasons = tuple(Choice(f"理由{i}", f"辞退 {i}", token=f"t{i}") for i in range(8))
    (card,) = Line(TOKEN, SECRET).render(fit(Message("どれに近いですか。", choices=reasons), Line.caps))["messages"]
    at_thumb = [item["action"]["data"] for item in card["quickReply"]["items"]]
    on_card = [button["action"]["data"] for button in card["contents"]["footer"]["contents"]]
    assert at_thumb == on_card == [f"t{i}" for i in range(8)]


def test_a_label_too_long_is_numbered_in_the_text() -> None:
    message = fit(
        Message("どちらですか。", choices=(Choice("はい", "x", token="a"), Choice("あ" * 21, "y", token="b"))),
        Line.caps,
    )
    (card,) = Line(TOKEN, SECRET).render(message)["messages"]
    assert "1. はい\n2. あああ" in card["altText"]


def test_a_card_too_large_keeps_its_words_in_a_message_of_their_own() -> None:
    """One call with two messages still counts as one push."""
    facts = tuple((f"事{i}", "6月4日 17:15") for i in range(25))
    words, card = Line(TOKEN, SECRET).render(fit(Message("長" * 4000, None, facts, OFFER.choices), Line.caps))[
        "messages"
    ]
    assert words["type"] == "text"
    assert words["text"].startswith("長" * 3000)
    assert "長" not in json.dumps(card["contents"], ensure_ascii=False)
    assert len(card["contents"]["body"]["contents"]) == 25


def test_the_rich_menu_says_the_six_words() -> None:
    menu = json.loads((Path(__file__).parents[2] / "deploy" / "line-richmenu.json").read_text())
    assert menu_faults(menu) == []
    assert [area["action"]["text"] for area in menu["areas"]] == ["今日", "つぎへ", "一覧", "休み", "緊急", "ヘルプ"]


async def test_no_log_says_what_was_said(line: LineFake, adapter: Line, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token = await adapter.link_token(SUZUKI)
        (said,) = await heard(adapter, line.says(SUZUKI, "母のことで"))
        line.fails(Fault(), Fault(400, "花子"), Fault(503, "花子"))
        for _ in range(3):
            await adapter.send(parcel(reply=said.reply))
        headers, body = hook(line.says(SUZUKI, "花子"))
        await adapter.take(Hook(headers, body + b" "), nobody)
    for secret in (token, said.reply, TOKEN, SECRET, SUZUKI, "母のこと", "花子", "あじさい", "お願い", "t" * 22):
        assert secret not in caplog.text


def test_the_waits_are_short_enough_for_a_lease() -> None:
    assert timedelta() < AGAIN <= PACE <= timedelta(minutes=1)
