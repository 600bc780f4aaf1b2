"""Slack once more, against a workspace that others wrote (vercel-labs/emulate), with the scopes of our manifest and no other.

Where emulate 0.12.2 is not Slack (docs.slack.dev): a bot's own words come back as an event without `bot_id`; a public channel takes words
of a bot that is no member of it (Slack: not_in_channel), and a private one says not_in_channel (Slack: channel_not_found); any unknown
token is an administrator's (Slack: invalid_auth); reading calls are POST alone; blocks are not looked at; nobody can tap. So taps, times and
refusals of blocks are in tests/adapters/test_slack.py.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from adapters.base import FORGED, Ack, Address, Choice, Delivery, Gone, Hook, Inbound, Message, Parcel, Ref, Said, Sent
from adapters.slack import HOME, Slack
from tests.servers.start import APP, BOT_TOKEN, POOR_TOKEN, SECRET, SUZUKIS_TOKEN, TEAM, Emulate

OFFER = Message(
    "385-267-52 の就労相談をお願いできますか。 <お返事> & 期限",
    "つなぎの依頼",
    (("だれから", "北包括 鈴木さん"),),
    (Choice("引き受ける", "引受 385-267-52", "primary", "A" * 22), Choice("辞退", "辞退 385-267-52", token="B" * 22)),
)
DONE = Message("若葉 高橋さんが引き受けました。")


class Suzuki:
    """鈴木 at her own Slack, with Slack's own SDK."""

    def __init__(self, api_url: str, kept: list[Inbound]) -> None:
        self.web = AsyncWebClient(SUZUKIS_TOKEN, api_url)
        self.account, self._kept = "", kept

    async def asks(self, method: str, **more: object) -> Any:
        """Make a call that the SDK makes by GET."""
        return (await self.web.api_call(method, json=more)).data

    async def channel(self, name: str) -> str:
        """Where people talk, by its name."""
        found = (await self.asks("conversations.list", types="public_channel,private_channel"))["channels"]
        return next(str(c["id"]) for c in found if c["name"] == name)

    async def stands(self, ref: str) -> dict[str, Any]:
        """What she reads where a message of ours lies."""
        channel, _, ts = ref.partition(":")
        found = (await self.asks("conversations.history", channel=channel))["messages"]
        return next(m for m in found if m["ts"] == ts)

    def heard(self) -> list[Inbound]:
        """What of hers we have kept; emulate says our own words too, as if somebody had said them."""
        return [event for event in self._kept if event.sender.account == self.account]


@pytest.fixture
async def ours(emulate: Emulate) -> AsyncIterator[Slack]:
    found = Slack(BOT_TOKEN, SECRET, "", f"{emulate.url}/api/")
    yield found
    await found.close()


@pytest.fixture
def hooks() -> list[Hook]:
    return []


@pytest.fixture
async def suzuki(emulate: Emulate, ours: Slack, hooks: list[Hook]) -> AsyncIterator[Suzuki]:
    """鈴木, and our door where emulate posts whatever happens; each of her calls is answered when we have it."""
    kept: list[Inbound] = []
    acks: list[Ack] = []

    async def hand(event: Inbound) -> None:
        kept.append(event)

    async def door(request: web.Request) -> web.Response:
        hooks.append(Hook({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        acks.append(await ours.take(hooks[-1], hand))
        return web.Response(status=acks[-1].status)

    app = web.Application()
    app.router.add_post("/hooks/slack", door)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    emulate.post_to("http://{}:{}/hooks/slack".format(*runner.addresses[0][:2]))
    found = Suzuki(f"{emulate.url}/api/", kept)
    found.account = f"{TEAM}/{(await found.asks('auth.test'))['user_id']}"
    yield found
    await runner.cleanup()
    assert {ack.status for ack in acks} <= {200}


def parcel(to: str, message: Message = OFFER, only: str = "") -> Parcel:
    return Parcel(Address("slack", to), message, "", datetime(2026, 6, 1, tzinfo=UTC), only=only)


def sent(outcome: Delivery) -> str:
    assert isinstance(outcome, Sent), outcome
    return outcome.ref


async def test_signed_words_are_heard_and_the_card_they_ask_for_ends_where_it_lies(ours: Slack, suzuki: Suzuki) -> None:
    soudan = await suzuki.channel("soudan")
    await suzuki.web.chat_postMessage(channel=soudan, text="今日")
    (word,) = suzuki.heard()
    assert (word.what, word.address, word.private, word.sender.tenant) == (
        Said("今日"),
        Address("slack", soudan),
        False,
        TEAM,
    )

    ref = sent(await ours.send(parcel(soudan)))
    card = await suzuki.stands(ref)
    assert card["user"] == APP["bot_user_id"] and card["blocks"] == ours.render(OFFER)["blocks"]
    assert card["text"] == "385-267-52 の就労相談をお願いできますか。 &lt;お返事&gt; &amp; 期限"

    assert await ours.edit(Ref(word.address, ref), DONE) == Sent(ref)
    card = await suzuki.stands(ref)
    assert (card["text"], card["blocks"], "edited" in card) == (DONE.text, ours.render(DONE)["blocks"], True)
    assert suzuki.heard() == [word]


async def test_what_emulate_signed_is_forged_under_another_secret_or_with_another_letter(
    ours: Slack, suzuki: Suzuki, hooks: list[Hook]
) -> None:
    kept: list[Inbound] = []

    async def hand(event: Inbound) -> None:
        kept.append(event)

    await suzuki.web.chat_postMessage(channel=await suzuki.channel("soudan"), text="引受 385-267-52")
    good = hooks[-1]
    later = str(int(good.headers["x-slack-request-timestamp"]) + 1)
    assert await Slack(BOT_TOKEN, "another").take(good, hand) == FORGED
    assert await ours.take(replace(good, body=good.body.replace(b"385", b"386")), hand) == FORGED
    assert await ours.take(replace(good, headers={**good.headers, "x-slack-request-timestamp": later}), hand) == FORGED
    assert not kept
    assert (await ours.take(good, hand)).status == 200 and kept == suzuki.heard()


async def test_a_person_is_written_to_by_account_and_answers_there(ours: Slack, suzuki: Suzuki) -> None:
    ref = sent(await ours.send(parcel(suzuki.account)))
    assert ref.startswith("D") and (await suzuki.stands(ref))["blocks"][0]["text"]["text"] == OFFER.title
    await suzuki.web.chat_postMessage(channel=ref.partition(":")[0], text="引受 385-267-52")
    (word,) = suzuki.heard()
    assert word.what == Said("引受 385-267-52") and word.private
    assert sent(await ours.send(parcel(word.address.conversation, DONE))).partition(":")[0] == ref.partition(":")[0]
    assert await ours.edit(Ref(Address("slack", suzuki.account), ref), DONE) == Sent(ref)


async def test_what_is_for_one_person_lies_in_no_channel(ours: Slack, suzuki: Suzuki) -> None:
    soudan = await suzuki.channel("soudan")
    before = (await suzuki.asks("conversations.history", channel=soudan))["messages"]
    assert await ours.send(parcel(soudan, only=suzuki.account)) == Sent("")
    assert await ours.send(parcel(f"{HOME}{suzuki.account}")) == Sent("")
    assert (await suzuki.asks("conversations.history", channel=soudan))["messages"] == before
    # #general was there before her: she is no member
    assert await ours.send(parcel(await suzuki.channel("general"), only=suzuki.account)) == Gone("user_not_in_channel")
    assert await ours.send(parcel(f"{HOME}{TEAM}/U404")) == Gone("user_not_found")


async def test_every_refusal_of_an_address_is_a_value(emulate: Emulate, ours: Slack, suzuki: Suzuki) -> None:
    soudan, kaigi, mukashi = [await suzuki.channel(name) for name in ("soudan", "kaigi", "mukashi")]
    await suzuki.asks("conversations.archive", channel=mukashi)
    assert await ours.send(parcel("C404")) == Gone("channel_not_found")
    assert await ours.send(parcel(mukashi)) == Gone("is_archived")
    assert await ours.send(parcel(kaigi)) == Gone("not_in_channel")
    await suzuki.asks("conversations.invite", channel=kaigi, users=APP["bot_user_id"])
    ref = sent(await ours.send(parcel(kaigi)))

    hers = await suzuki.web.chat_postMessage(channel=soudan, text="こんにちは")
    assert await ours.edit(Ref(Address("slack", soudan), f"{soudan}:{hers['ts']}"), DONE) == Gone("cant_update_message")
    await suzuki.asks("conversations.kick", channel=kaigi, user=APP["bot_user_id"])
    assert await ours.edit(Ref(Address("slack", kaigi), ref), DONE) == Gone("not_in_channel")
    assert await ours.edit(Ref(Address("slack", soudan), f"{soudan}:1.2"), DONE) == Gone("message_not_found")

    poor = Slack(POOR_TOKEN, SECRET, "", f"{emulate.url}/api/")
    assert await poor.send(parcel(soudan)) == Gone("missing_scope")
    await poor.close()
