"""Slack over the wire with the real SDKs: what is heard and kept, what is shown, and what every failure comes to."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from adapters import REGISTRY
from adapters.base import (
    FORGED,
    Ack,
    Address,
    Choice,
    Chose,
    Delivery,
    Editor,
    Gone,
    Hook,
    Hooked,
    Inbound,
    Later,
    Listening,
    Message,
    Moved,
    Odd,
    Outside,
    Parcel,
    Ref,
    Refused,
    Said,
    Sent,
    Unknown,
    fit,
)  # fmt: skip
from adapters.slack import HOME, Slack, size
from tests.fakes.slack import APP_TOKEN, BOT, SECRET, TEAM, TOKEN, FakeSlack, Fault, hook, wrong
from tests.wire.check import fault

AT = datetime(2026, 6, 1, tzinfo=UTC)
SUZUKI = f"{TEAM}/U1"
OFFER = Message(
    "385-267-52 の就労相談をお願いできますか。お返事は 6/4(木) 17:15 まで。",
    "つなぎの依頼",
    (("だれから", "北包括 鈴木さん"), ("お返事まで", "6/4(木) 17:15")),
    (Choice("引き受ける", "引受 385-267-52", "primary", "A" * 21 + "0"), Choice("辞退", "辞退", "plain", "A" * 21 + "1")),
)  # fmt: skip
REASONS = replace(OFFER, choices=tuple(Choice(f"理由 {i}", f"辞退 {i}", token="B" * 20 + f"{i:02}") for i in range(14)))


class Inbox:
    """Keeps events as the door does: the same id or the same act once."""

    def __init__(self) -> None:
        self.kept: list[Inbound] = []
        self.broken = False

    async def hand(self, event: Inbound) -> None:
        if self.broken:
            raise OSError("no disk")
        if not any(k.id == event.id or k.natural == event.natural for k in self.kept):
            self.kept.append(event)


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSlack]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = await FakeSlack().start()
    yield found
    await found.stop()


@pytest.fixture
async def ours(slack: FakeSlack) -> AsyncIterator[Slack]:
    found = Slack(TOKEN, SECRET, APP_TOKEN, slack.api_url, home="今日", timeout=0.3, beat=0.02)
    yield found
    await found.close()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def parcel(message: Message = OFFER, to: str = "C1", **more: str) -> Parcel:
    return Parcel(Address("slack", to), fit(message, Slack.caps), "0b0f6f2e-6a0e-4c2b-9a8e-0d6d0d2f4d11", AT, **more)


def sent(outcome: Delivery) -> str:
    assert isinstance(outcome, Sent), outcome
    return outcome.ref


# -- a card's life


async def test_an_offer_is_posted_taken_by_a_tap_and_says_who(ours: Slack, slack: FakeSlack, inbox: Inbox) -> None:
    ref = sent(await ours.send(parcel()))
    stands = slack.messages["C1", ref.removeprefix("C1:")]
    assert stands["text"] == OFFER.text and [b["type"] for b in stands["blocks"]] == [
        "header",
        "section",
        "section",
        "actions",
    ]
    tap = slack.taps("U2", ref, "引き受ける")
    assert await ours.take(hook(tap), inbox.hand) == Ack(200)
    (event,) = inbox.kept
    assert event.what == Chose(OFFER.choices[0].token) and event.sender.account == f"{TEAM}/U2"
    assert event.address == Address("slack", "C1") and not event.private and event.reply == tap["response_url"]
    done = Message("若葉 高橋さんが引き受けました。")
    assert await ours.edit(Ref(Address("slack", "C1"), ref), done) == Sent(ref)
    now = slack.messages["C1", ref.removeprefix("C1:")]
    assert now["text"] == done.text and [b["type"] for b in now["blocks"]] == ["section"]


async def test_a_person_is_written_to_by_account_and_edited_by_channel(ours: Slack, slack: FakeSlack) -> None:
    ref = sent(await ours.send(parcel(to=SUZUKI)))
    assert ref.startswith("DU1:") and slack.of("chat.postMessage")[0]["channel"] == "U1"
    assert await ours.edit(Ref(Address("slack", SUZUKI), ref), OFFER) == Sent(ref)


async def test_a_code_list_is_one_list_to_pick_from(ours: Slack, slack: FakeSlack, inbox: Inbox) -> None:
    ref = sent(await ours.send(parcel(REASONS)))
    (element,) = slack.messages["C1", ref.removeprefix("C1:")]["blocks"][-1]["elements"]
    assert element["type"] == "static_select" and len(element["options"]) == 14
    await ours.take(hook(slack.taps("U1", ref, "理由 12")), inbox.hand)
    assert inbox.kept[0].what == Chose("B" * 20 + "12")


async def test_an_answer_in_a_shared_channel_is_seen_by_its_speaker_alone(ours: Slack, slack: FakeSlack) -> None:
    assert await ours.send(parcel(only=SUZUKI)) == Sent("")
    assert slack.whispers[0]["user"] == "U1" and not slack.messages
    assert await ours.edit(Ref(Address("slack", "C1"), ""), OFFER) == Gone("never to be changed")


async def test_an_answer_uses_the_url_of_its_tap_and_after_the_fifth_time_the_channel(
    ours: Slack, slack: FakeSlack
) -> None:
    url = f"{slack.api_url.removesuffix('api/')}respond/1"
    for _ in range(6):
        assert await ours.send(parcel(only=SUZUKI, reply=url)) == Sent("")
    assert [("user" in w, w.get("replace_original")) for w in slack.whispers] == [(False, False)] * 5 + [(True, None)]
    assert all(w.get("response_type", "ephemeral") == "ephemeral" for w in slack.whispers)


async def test_opening_the_home_says_today_and_the_answer_is_published_there(
    ours: Slack, slack: FakeSlack, inbox: Inbox
) -> None:
    opened = slack.says("U1", "", type="app_home_opened", tab="home")
    await ours.take(hook(opened), inbox.hand)
    (event,) = inbox.kept
    assert event.what == Said("今日") and event.private and event.address.conversation == f"{HOME}{SUZUKI}"
    assert await ours.send(parcel(to=event.address.conversation)) == Sent("")
    button = slack.homes["U1"]["blocks"][-1]["elements"][0]
    tap = slack._pressed("U1", "", "", button, {"container": {"type": "view", "view_id": "V1"}, "channel": None})
    assert ours.hear(tap)[0].address == event.address and ours.hear(tap)[0].private
    assert not Slack(TOKEN, SECRET).hear(opened), "no word is known for an open Home"


# -- the hook


async def test_a_message_is_kept_before_it_is_acknowledged_and_once(
    ours: Slack, slack: FakeSlack, inbox: Inbox
) -> None:
    """Slack posts one event four times, and under new ids: it is one (fault 5)."""
    said = slack.says("U1", "引受 385-267-52")
    inbox.broken = True
    assert (await ours.take(hook(said), inbox.hand)).status == 503
    inbox.broken = False
    for again in range(4):
        assert await ours.take(hook(said, x_slack_retry_num=str(again)), inbox.hand) == Ack(200)
    await ours.take(hook(said | {"event_id": "EvNEW"}), inbox.hand)
    mention = said["event"] | {"type": "app_mention", "text": f"<@{BOT}> 引受 385-267-52"}
    await ours.take(hook(said | {"event_id": "EvTWIN", "event": mention}), inbox.hand)
    (event,) = inbox.kept
    assert event.what == Said("引受 385-267-52") and event.private and event.sender.tenant == TEAM


async def test_a_hook_that_is_not_slacks_is_forged(ours: Slack, slack: FakeSlack, inbox: Inbox) -> None:
    """A signature that is wrong, missing or six minutes old (fault 14)."""
    said = slack.says("U1", "今日")
    good = hook(said)
    check = b"ssl_check=1&token=old"
    for bad in (
        hook(said, secret="another"), hook(said, age=360), hook(said, age=-360), Hook({}, good.body), replace(good, body=good.body + b" "),
        hook(said, x_slack_request_timestamp="soon"), hook(said, x_slack_request_timestamp="9" * 5000), hook(said, x_slack_signature="v0=署名"),
        replace(good, body=b"\xff"), Hook({"content-type": "application/x-www-form-urlencoded"}, check), Hook({}, b"{not json"),
    ):  # fmt: skip
        assert await ours.take(bad, inbox.hand) == FORGED
    assert await Slack(TOKEN, "", APP_TOKEN).take(hook(said, secret="any"), inbox.hand) == FORGED, (
        "without a secret nothing is proved"
    )
    assert not inbox.kept


async def test_slack_asks_who_we_are_and_gets_its_challenge(ours: Slack, inbox: Inbox) -> None:
    answer = await ours.take(hook({"type": "url_verification", "token": "old", "challenge": "3eZbrw"}), inbox.hand)
    assert (answer.status, answer.media, json.loads(answer.body)) == (200, "application/json", {"challenge": "3eZbrw"})


async def test_a_command_in_a_channel_is_answered_to_its_speaker(ours: Slack, slack: FakeSlack, inbox: Inbox) -> None:
    for text in ("今日", "登録 K7QM-2F9P", "payload 今日", ""):
        assert await ours.take(hook(slack.commands("U1", text)), inbox.hand) == Ack(200)
    assert [e.what for e in inbox.kept] == [Said("今日"), Said("登録 K7QM-2F9P"), Said("payload 今日"), Said("")]
    event = inbox.kept[0]
    assert event.address.conversation == "C1" and not event.private and event.reply.startswith("http")
    (between_two,) = ours.hear(slack.commands("U1", "今日", "DX"))
    assert between_two.address.conversation == SUZUKI and between_two.private and not between_two.reply


async def test_nothing_of_a_message_is_logged(
    ours: Slack, slack: FakeSlack, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        said = slack.says("U1", "ひみつ")
        await ours.take(hook(said), inbox.hand)
        await ours.take(hook(said, secret="another"), inbox.hand)
        inbox.broken = True
        await ours.take(hook(slack.says("U1", "ひみつ")), inbox.hand)
        slack.next("chat.postMessage", Fault(500, body="ひみつ"))
        await ours.send(parcel(Message("ひみつ")))
    for word in ("ひみつ", "xoxb", "no disk", SECRET):
        assert word not in caplog.text
    assert "OSError" in caplog.text


# -- what is heard


def event_of(heard: dict[str, Any]) -> tuple[object, ...]:
    return tuple(e.what for e in Slack(TOKEN, SECRET).hear(heard))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (f"<@{BOT}> 引受 385-267-52", "引受 385-267-52"),
        ("引受 <tel:385-267-52|385-267-52>", "引受 385-267-52"),
        ("<https://town.example/go/a|town.example/go/a> を見て", "town.example/go/a を見て"),
        ("<https://town.example/?a=1&amp;b=2>", "https://town.example/?a=1&b=2"),
        ("1 &lt; 2 &amp;amp; <!channel> みんな", "1 < 2 &amp;  みんな"),
        ("<#C1|北部> へ", "北部 へ"),
        ("  つぎへ\n", "つぎへ"),
    ],
)
def test_words_are_heard_without_slacks_markup(typed: str, meant: str) -> None:
    assert event_of(FakeSlack().says("U1", typed)) == (Said(meant),)


def altered(payload: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    return payload | {"event": payload["event"] | event}


SILENT: list[dict[str, Any]] = [
    {"subtype": "message_changed", "message": {"text": "x"}, "hidden": True}, {"subtype": "message_deleted"}, {"subtype": "channel_join"},
    {"subtype": "bot_message", "bot_id": "B1"}, {"bot_id": "B1", "user": BOT}, {"bot_profile": {"id": "B1"}}, {"hidden": True},
    {"edited": {"ts": "1"}}, {"user_team": "T999"}, {"team": "T999"}, {"type": "reaction_added"}, {"type": "member_joined_channel"},
    {"text": ""}, {"text": " "}, {"user": None}, {"channel": None}, {"ts": None, "event_ts": None}, {"type": "app_home_opened", "tab": "messages"},
]  # fmt: skip


@pytest.mark.parametrize("event", SILENT, ids=json.dumps)
def test_edits_bots_strangers_and_ourselves_are_met_with_silence(event: dict[str, Any]) -> None:
    assert Slack(TOKEN, SECRET, home="今日").hear(altered(FakeSlack().says("U1", "こんにちは"), event)) == ()


def test_files_are_odd_unless_words_come_with_them() -> None:
    shared: dict[str, Any] = {"subtype": "file_share", "files": [{"id": "F1", "mimetype": "audio/webm"}]}
    assert event_of(FakeSlack().says("U1", "", **shared)) == (Odd("file"),)
    assert event_of(FakeSlack().says("U1", "今日", **shared)) == (Said("今日"),)


def test_words_in_a_thread_say_where_and_a_bare_mention_is_heard() -> None:
    (event,) = Slack(TOKEN, SECRET).hear(FakeSlack().says("U1", "了解", "C1", thread_ts="1700000000.000001"))
    assert event.address == Address("slack", "C1", "1700000000.000001") and not event.private
    assert event_of(FakeSlack().says("U1", f"<@{BOT}>", "C1", type="app_mention")) == (Said(""),)
    assert event_of(FakeSlack().says("U1", f"<@{BOT}>", "C1")) == ()


def test_a_channel_that_changes_its_id_moves() -> None:
    moved = FakeSlack().says("", "", type="channel_id_changed", old_channel_id="G1", new_channel_id="C9")
    (event,) = Slack(TOKEN, SECRET).hear(moved)
    assert (event.address.conversation, event.what) == ("G1", Moved("C9"))


async def test_a_tap_from_another_workspace_does_nothing(ours: Slack, slack: FakeSlack) -> None:
    ref = sent(await ours.send(parcel()))
    assert not ours.hear(slack.taps("U7", ref, "引き受ける", user={"id": "U7", "username": "x", "team_id": "T999"}))
    assert not ours.hear(slack.taps("U1", ref, "引き受ける", actions=[]))
    assert not ours.hear(slack.taps("U1", ref, "引き受ける") | {"type": "view_submission"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)  # fmt: skip


def real() -> list[dict[str, Any]]:
    fake = FakeSlack()
    fake.port = 1
    part = {"type": "button", "action_id": "0", "text": {"type": "plain_text", "text": "x"}, "value": "T"}
    picked = {"type": "static_select", "action_id": "list", "selected_option": {"text": part["text"], "value": "T"}}
    return [
        fake.says("U1", "今日"), fake.says("U1", "", type="app_home_opened", tab="home"), fake.commands("U1", "今日"),
        fake.says("", "", type="channel_id_changed", old_channel_id="G1", new_channel_id="C9"),
        fake._pressed("U1", "C1", "1.1", part, {}), fake._pressed("U1", "C1", "1.1", picked, {}),
    ]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A real payload with something somewhere in it replaced or taken away."""
    payload = json.loads(json.dumps(draw(st.sampled_from(real()))))
    for _ in range(draw(st.integers(1, 3))):
        at = payload
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and draw(st.booleans()):
                at = at[key]
                continue
            if draw(st.booleans()):
                at[key] = draw(JSON)
            else:
                del at[key]
            break
    return payload


def taken(signed: Hook) -> tuple[Ack, list[Inbound]]:
    inbox = Inbox()
    return asyncio.run(Slack(TOKEN, SECRET, home="今日").take(signed, inbox.hand)), inbox.kept


def clean(events: list[Inbound]) -> None:
    """Every text of an event can be stored: no half letters in what names it, and it names somebody."""
    for event in events:
        for name in (event.id, event.natural, event.sender.account, event.address.conversation, event.reply):
            assert "\0" not in name and name.encode() is not None
        assert event.id and event.natural and event.sender.account and event.address.conversation


@given(JSON)
def test_any_json_with_slacks_signature_gets_a_yes(payload: object) -> None:
    ack, events = taken(hook(payload))
    assert ack.status == 200
    clean(events)


@given(mutated())
def test_a_real_payload_oddly_changed_gets_a_yes(payload: dict[str, Any]) -> None:
    ack, events = taken(hook(json.dumps(payload).encode()))
    assert ack.status == 200 and len(events) <= 1
    clean(events)


@given(st.binary(max_size=200))
def test_any_bytes_with_slacks_signature_get_an_answer(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        assert taken(Hook({}, body))[0] == FORGED
    else:
        assert taken(hook(body))[0].status == 200


# -- what is shown

NASTY = st.one_of(
    st.text(max_size=200),
    st.sampled_from(("", " ", "<!channel> @channel", "<@U1>", "&" * 300, "<" * 5000, "👨‍👩‍👧‍👦" * 700, "e\u0301" * 2500, "\u202eمرحبا" * 400,
                     "http://a/b " * 500, "https://town.example/go/abc?x=1&y=<b>", "相談" * 2500, "\u200b", "a\nb" * 50)),
)  # fmt: skip
MESSAGES = st.builds(
    Message, NASTY, st.none() | NASTY, st.lists(st.tuples(NASTY, NASTY), max_size=25).map(tuple),
    st.lists(
        st.builds(Choice, NASTY, NASTY, st.sampled_from(("plain", "primary", "danger", "quiet")), st.text("aB_-9", min_size=22, max_size=22)),
        max_size=30,
    ).map(tuple),
)  # fmt: skip


FAMILY, ACCENTS, ARABIC = "👨‍👩‍👧‍👦", "e\u0301\u0323", "\u202eمرحبا"
FULL = tuple(Choice(f"{FAMILY * 20}{i}", "x", "danger", f"{i:022}") for i in range(30))


@given(MESSAGES)
@example(Message("<!channel>" * 500, FAMILY * 700, ((ACCENTS * 20, ARABIC * 700),) * 25, FULL))
@example(Message(FAMILY * 700, ARABIC * 700, (("&" * 300, ACCENTS * 1_700),) * 25, FULL))
def test_no_message_is_too_much_for_slack(message: Message) -> None:
    shown = Slack().render(fit(message, Slack.caps))
    assert not fault("slack.blocks", shown["blocks"]), "Slack's own types know nothing of it"
    assert not wrong(shown["blocks"]), wrong(shown["blocks"])
    assert shown["text"].strip() and size(shown["text"]) <= 40_000
    parsed = Block.parse_all(shown["blocks"])
    assert [b.to_dict()["type"] for b in parsed if b] == [b["type"] for b in shown["blocks"]], (
        "slack_sdk's own models agree"
    )
    for block in shown["blocks"]:
        for said in [block.get("text", {}), *block.get("fields", ())]:
            assert "<!" not in said.get("text", "") and "<@" not in said.get("text", "")
            assert said.get("type") != "mrkdwn" or said["verbatim"] is True, "@channel stays three letters"


@given(st.integers(0, 130))
def test_choices_are_buttons_then_a_list_and_never_lost(many: int) -> None:
    asked = Message(
        "理由を選んでください", choices=tuple(Choice(f"理由{i}", f"辞退 {i}", token=f"{i:022}") for i in range(many))
    )
    blocks = Slack().render(fit(asked, Slack.caps))["blocks"]
    assert not wrong(blocks)
    parts = [p for b in blocks if b["type"] == "actions" for p in b["elements"]]
    tokens = [o["value"] for p in parts for o in p.get("options", [p])]
    assert tokens == [f"{i:022}" for i in range(min(many, 100))]


def test_our_own_links_open_and_the_rest_is_only_letters() -> None:
    blocks = Slack().render(Message("その他は https://town.example/go/a_b?x=1&y=2. <b> @here #北部"))["blocks"]
    assert blocks[0]["text"]["text"] == "その他は <https://town.example/go/a_b?x=1&amp;y=2>. &lt;b&gt; @here #北部"


def test_a_choice_without_a_token_is_not_shown() -> None:
    assert [b["type"] for b in Slack().render(Message("x", choices=(Choice("引き受ける", "引受"),)))["blocks"]] == [
        "section"
    ]


# -- what becomes of a letter

S = timedelta(seconds=1)
DELIVERIES: list[tuple[Fault, Delivery]] = [
    (Fault(429, headers={"Retry-After": "7"}), Later(7 * S, "ratelimited")),
    (Fault(429), Later(30 * S, "ratelimited")),
    (Fault(429, body="slow down", headers={"Retry-After": "7"}), Later(7 * S, "ratelimited")),
    (Fault(429, headers={"Retry-After": "soon"}), Later(30 * S, "ratelimited")),
    (Fault(error="ratelimited"), Later(30 * S, "ratelimited")),
    (Fault(500, body="oops"), Unknown("HTTP 500")),
    (Fault(502, body="<html>", headers={"Content-Type": "text/html"}), Unknown("HTTP 502")),
    (Fault(503, body="{", headers={"Content-Type": "application/json"}), Unknown("HTTP 503")),
    (Fault(200, body="ok"), Unknown("AttributeError")),
    (Fault(200, body="[1]", headers={"Content-Type": "application/json"}), Unknown("AttributeError")),
    (Fault(error="internal_error"), Unknown("internal_error")),
    (Fault(accepts=True, holds=0.6), Unknown("TimeoutError")),
    (Fault(accepts=True, drops=True), Unknown("ServerDisconnectedError")),
    (Fault(error="channel_not_found"), Gone("channel_not_found")),
    (Fault(error="is_archived"), Gone("is_archived")),
    (Fault(error="account_inactive"), Gone("revoked", closed=True)),
    (Fault(error="token_revoked"), Gone("revoked", closed=True)),
    (Fault(error="restricted_action_read_only_channel"), Gone("restricted_action_read_only_channel")),
    (Fault(error="invalid_blocks"), Refused("invalid_blocks")),
    (Fault(error="an_error_of_tomorrow"), Refused("an_error_of_tomorrow")),
    (Fault(403, body="a proxy's word"), Refused("HTTP 403")),
]


@pytest.mark.parametrize(("fault", "outcome"), DELIVERIES, ids=str)
async def test_every_failure_is_a_delivery_and_is_tried_once(
    ours: Slack, slack: FakeSlack, fault: Fault, outcome: Delivery
) -> None:
    slack.next("chat.postMessage", fault)
    if isinstance(outcome, Unknown) and fault.body in ("ok", "[1]"):
        assert isinstance(await ours.send(parcel()), Unknown)
    else:
        assert await ours.send(parcel()) == outcome
    assert len(slack.of("chat.postMessage")) == 1 and len(slack.messages) == fault.accepts
    sent(await ours.send(parcel()))


async def test_nobody_listening_means_later(ours: Slack, slack: FakeSlack) -> None:
    """Nobody listens at Slack: surely not sent, so later (fault 4)."""
    await slack.stop()
    assert await ours.send(parcel()) == Later(30 * S, "ClientConnectorError")
    assert isinstance(await ours.send(parcel(only=SUZUKI, reply=f"http://127.0.0.1:{slack.port}/respond/1")), Later)


async def test_one_slow_conversation_holds_up_no_other(ours: Slack, slack: FakeSlack) -> None:
    slack.next("chat.postMessage", Fault(accepts=True, holds=0.6))
    slow, quick = await asyncio.gather(ours.send(parcel()), ours.send(parcel(to=SUZUKI)))
    assert slow == Unknown("TimeoutError") and sent(quick).startswith("DU1:")


async def test_an_archived_channel_and_a_revoked_token_are_gone(ours: Slack, slack: FakeSlack) -> None:
    """A channel without anybody, a token without rights (fault 33)."""
    slack.archived.add("C1")
    assert await ours.send(parcel()) == Gone("is_archived")
    assert await ours.send(parcel(to="C404")) == Gone("channel_not_found")
    assert await ours.send(parcel(to="G1", only=f"{TEAM}/U2")) == Gone("user_not_in_channel")
    slack.revoked = True
    assert await ours.send(parcel(to=SUZUKI)) == Gone("revoked", closed=True)
    wrong_token = Slack("xoxb-old", SECRET, api_url=slack.api_url)
    assert await wrong_token.send(parcel()) == Gone("revoked", closed=True)
    await wrong_token.close()


@pytest.mark.parametrize("fault", [Fault(accepts=True, holds=0.6), Fault(500, body="oops"), Fault(429)], ids=str)
async def test_an_edit_that_may_have_arrived_is_made_again(ours: Slack, slack: FakeSlack, fault: Fault) -> None:
    ref = Ref(Address("slack", "C1"), sent(await ours.send(parcel())))
    slack.next("chat.update", fault)
    assert isinstance(await ours.edit(ref, OFFER), Later)
    assert await ours.edit(ref, OFFER) == Sent(ref.id)
    slack.next("views.publish", fault)
    assert isinstance(await ours.send(parcel(to=f"{HOME}{SUZUKI}")), Later)


async def test_a_deleted_card_is_gone(ours: Slack, slack: FakeSlack) -> None:
    ref = sent(await ours.send(parcel()))
    slack.messages.clear()
    assert await ours.edit(Ref(Address("slack", "C1"), ref), OFFER) == Gone("message_not_found")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(Fault(429, headers={"Retry-After": "7"}), Later), (Fault(500, body="x"), Unknown), (Fault(holds=0.6), Unknown), (Fault(404, body="expired_url"), Sent)],
    ids=str,
)  # fmt: skip
async def test_an_answer_by_url_falls_back_only_where_it_surely_failed(
    ours: Slack, slack: FakeSlack, fault: Fault, outcome: type
) -> None:
    slack.next("respond", fault)
    reply = f"{slack.api_url.removesuffix('api/')}respond/1"
    assert isinstance(await ours.send(parcel(only=SUZUKI, reply=reply)), outcome)
    assert len(slack.of("chat.postEphemeral")) == (outcome is Sent)


# -- the socket


class Lease:
    def __init__(self, held: bool = True) -> None:
        self.held = held

    async def __call__(self) -> bool:
        return self.held


@pytest.fixture
async def line(ours: Slack, slack: FakeSlack, inbox: Inbox) -> AsyncIterator[Lease]:
    """The socket, held by us; the lease may be taken away."""
    lease = Lease()
    listening = asyncio.create_task(ours.listen(inbox.hand, lease))
    await slack.until(lambda: slack.lines)
    yield lease
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_the_socket_carries_the_same_and_is_acknowledged_when_kept(
    line: Lease, ours: Slack, slack: FakeSlack, inbox: Inbox
) -> None:
    ref = sent(await ours.send(parcel()))
    envelopes = [
        await slack.over_the_socket("events_api", slack.says("U1", "今日")),
        await slack.over_the_socket("interactive", slack.taps("U1", ref, "辞退")),
        await slack.over_the_socket("slash_commands", slack.commands("U1", "つぎへ")),
    ]
    await slack.until(lambda: len(slack.acknowledged) == 3)
    assert {a["envelope_id"] for a in slack.acknowledged} == set(envelopes)
    assert {e.what for e in inbox.kept} == {Said("今日"), Chose(OFFER.choices[1].token), Said("つぎへ")}


async def test_what_is_not_kept_is_not_acknowledged(line: Lease, slack: FakeSlack, inbox: Inbox) -> None:
    inbox.broken = True
    lost = slack.says("U1", "今日")
    await slack.over_the_socket("events_api", lost)
    odd = await slack.over_the_socket("events_api", {"type": "event_callback", "event": "odd", "authorizations": 3})
    await slack.until(lambda: slack.acknowledged)
    assert [a["envelope_id"] for a in slack.acknowledged] == [odd] and not inbox.kept
    inbox.broken = False
    again = await slack.over_the_socket("events_api", lost)
    await slack.until(lambda: len(slack.acknowledged) == 2)
    assert slack.acknowledged[1]["envelope_id"] == again and len(inbox.kept) == 1


async def test_the_socket_is_opened_again_when_slack_asks(line: Lease, slack: FakeSlack, inbox: Inbox) -> None:
    await slack.lines[0].send_json({"type": "disconnect", "reason": "refresh_requested"})
    await slack.until(lambda: len(slack.lines) == 2)
    await slack.over_the_socket("events_api", slack.says("U1", "今日"))
    await slack.until(lambda: slack.acknowledged)
    assert slack.opened == 2 and len(inbox.kept) == 1


async def test_a_socket_over_which_nothing_comes_any_more_is_opened_anew(slack: FakeSlack, inbox: Inbox) -> None:
    """(fault 40) It still stands; Slack answers no ping."""
    ours, slack.deaf = Slack(TOKEN, "", APP_TOKEN, slack.api_url, beat=0.01, ping=0.2), True
    listening = asyncio.create_task(ours.listen(inbox.hand, Lease()))
    await slack.until(lambda: slack.lines)
    slack.deaf = False
    await slack.until(lambda: len(slack.lines) == 2)
    await slack.over_the_socket("events_api", slack.says("U1", "今日"))
    await slack.until(lambda: slack.acknowledged)
    assert len(inbox.kept) == 1
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.parametrize("loop", ["process_messages", "receive_messages", "monitor_current_session"])
async def test_a_dead_loop_behind_the_socket_opens_another(
    line: Lease, slack: FakeSlack, inbox: Inbox, loop: str
) -> None:
    """(fault 40) The connection stands, and the SDK's own loop has ended."""
    (dead,) = (task for task in asyncio.all_tasks() if task.get_coro().__name__ == loop)
    dead.cancel()
    await slack.until(lambda: len(slack.lines) == 2)
    await slack.over_the_socket("events_api", slack.says("U1", "今日"))
    await slack.until(lambda: slack.acknowledged)
    assert len(inbox.kept) == 1


async def test_without_the_lease_the_socket_is_let_go(line: Lease, slack: FakeSlack) -> None:
    line.held = False
    await slack.until(lambda: slack.lines[0].closed)
    assert slack.opened == 1
    line.held = True
    await slack.until(lambda: len(slack.lines) == 2)


async def test_a_refused_socket_is_said_in_the_log_and_tried_again(
    slack: FakeSlack, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    slack.next(
        "apps.connections.open",
        Fault(error="invalid_auth"),
        Fault(503, body="{", headers={"Content-Type": "application/json"}),
    )
    ours = Slack(TOKEN, "", APP_TOKEN, slack.api_url, beat=0.01)
    listening = asyncio.create_task(ours.listen(inbox.hand, Lease()))
    await slack.until(lambda: slack.lines)
    listening.cancel()
    assert "invalid_auth" in caplog.text and caplog.text.count("could not be kept open") == 2
    await asyncio.gather(listening, return_exceptions=True)


# -- as a whole


def test_slack_fills_the_seam_and_is_registered() -> None:
    ours: Outside = Slack()
    assert isinstance(ours, Hooked) and isinstance(ours, Listening) and isinstance(ours, Editor)
    assert REGISTRY["slack"].place == "adapters.slack:Slack"


def test_what_is_missing_is_named_and_nothing_is_called() -> None:
    assert Slack(TOKEN, SECRET).missing() == () == Slack(TOKEN, app_token=APP_TOKEN).missing()
    assert [m.split()[0] for m in Slack().missing()] == ["TSUNAGI_SLACK_BOT_TOKEN", "TSUNAGI_SLACK_SIGNING_SECRET"]


async def test_no_token_for_a_socket_means_no_socket(inbox: Inbox) -> None:
    await Slack(TOKEN, SECRET).listen(inbox.hand, Lease())


def test_the_manifest_asks_for_what_is_heard_and_no_more() -> None:
    manifest = json.loads((Path(__file__).parents[2] / "deploy" / "slack-manifest.json").read_text("utf-8"))
    settings, features = manifest["settings"], manifest["features"]
    assert set(settings["event_subscriptions"]["bot_events"]) == {
        "app_home_opened", "app_mention", "channel_id_changed", "message.channels", "message.groups", "message.im", "message.mpim",
    }  # fmt: skip
    assert [c["command"] for c in features["slash_commands"]] == ["/tsunagi"] and features["app_home"][
        "home_tab_enabled"
    ]
    addresses = {
        settings["event_subscriptions"]["request_url"],
        settings["interactivity"]["request_url"],
        features["slash_commands"][0]["url"],
    }
    assert {a.partition("/hooks/")[2] for a in addresses} == {"slack"} and len(addresses) == 1
    assert not {"users:read.email", "files:read", "users:read"} & set(manifest["oauth_config"]["scopes"]["bot"])
