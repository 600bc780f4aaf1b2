"""LINE once more, against a Messaging API that refuses whatever LINE's own types do not know (stoplightio/prism).

Prism keeps nothing: a used reply token, a second try with one key (409) and quotas are in tests/adapters/test_line.py. It answers a breach
with 422, which LINE never says, so that no call of ours can take it for something it knows. A retry key on a reply, which LINE refuses,
passes here: an OpenAPI document cannot forbid a header.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from adapters.base import Address, Choice, Gone, Message, Parcel, Refused, Sent, fit
from adapters.line import Line
from tests.servers.line import LIMIT, MESSAGE_ID, TOKEN, USED
from tests.servers.start import Server

SUZUKI = f"U{1:032x}"
STYLES = ("primary", "plain", "danger", "quiet")
OFFER = Message(
    "若葉さんへ、就労相談のお願いです。",
    "お願い あじさい 385-267-52",
    (("いつまで", "6月4日 17:15"), ("どこから", "")),
    tuple(Choice(f"えらぶ {style}", f"引受 {style}", style, "t" * 22) for style in STYLES),
)
SHAPES = {
    "words": Message("こんにちは。"),
    "a card": OFFER,
    "a card without words": Message("", "お願い"),
    "a card with quick replies": replace(OFFER, choices=tuple(Choice(f"理由 {i}", "辞退", token=f"{i:022}") for i in range(13))),
    "a card that would be too large": replace(OFFER, text="さ" * 4400),
}  # fmt: skip


@pytest.fixture
async def ours(prism: Server) -> AsyncIterator[Line]:
    found = Line("an-access-token", "a-channel-secret", prism.url)
    yield found
    await found.close()


def parcel(message: Message = OFFER, reply: str = "", key: str = "") -> Parcel:
    return Parcel(
        Address("line", SUZUKI), fit(message, Line.caps), key or str(uuid4()), datetime(2026, 6, 1, tzinfo=UTC), reply
    )


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_of_ours_is_one_that_line_knows(prism: Server, ours: Line, shape: str) -> None:
    prism.faults()
    assert await ours.send(parcel(SHAPES[shape])) == Sent(MESSAGE_ID), prism.faults()
    assert await ours.send(parcel(SHAPES[shape], reply="nHuyWiB7yP5Zw52FIkcQobQuGDXCTA")) == Sent(MESSAGE_ID), (
        prism.faults()
    )


async def test_quota_and_link_token_are_asked_for_and_read(ours: Line) -> None:
    assert await ours.quota() == (USED, LIMIT)
    assert await ours.link_token(SUZUKI) == TOKEN
    with pytest.raises(ConnectionError, match="422"):
        await ours.link_token("鈴木")


async def test_without_a_token_or_with_an_odd_key_nothing_is_sent(prism: Server, ours: Line) -> None:
    nobody = Line("", "a-channel-secret", prism.url)
    assert await nobody.send(parcel()) == Gone("revoked", closed=True)
    await nobody.close()
    assert await ours.send(parcel(key="letter 7")) == Refused("422")


TEXT = {"type": "text", "text": "今日"}
BUTTON = {"type": "button", "action": {"type": "postback", "label": "はい", "data": "t"}}


def _bubble(**body: Any) -> dict[str, Any]:
    return {
        "type": "flex",
        "altText": "…",
        "contents": {"type": "bubble", "body": {"type": "box", "layout": "vertical", **body}},
    }


@pytest.mark.parametrize(
    ("status", "messages"),
    [
        (200, [TEXT]),
        (200, [_bubble(contents=[BUTTON])]),
        (422, []),
        (422, [TEXT] * 6),
        (422, [{"type": "words", "text": "今日"}]),
        (422, [{"type": "text"}]),
        (422, [TEXT | {"txt": "今日"}]),
        (422, [_bubble(contents=[BUTTON | {"style": "danger"}])]),
        (422, [_bubble(contents=[{"type": "knob"}])]),
        (422, [_bubble(contents=[], layout="diagonal")]),
    ],
)
async def test_prism_says_yes_to_what_line_knows_alone(prism: Server, status: int, messages: list[Any]) -> None:
    """Else the stories above would prove nothing."""
    push: dict[str, Any] = {"url": "/v2/bot/message/push", "json": {"to": SUZUKI, "messages": messages}}
    async with (
        aiohttp.ClientSession(prism.url, headers={"Authorization": "Bearer x"}) as line,
        line.post(**push) as answer,
    ):
        assert answer.status == status, await answer.text()
