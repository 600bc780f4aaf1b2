"""LINE: hooks verified and heard; a card is a Flex bubble, several a carousel. A reply to whoever just spoke, else a push with a key.

A message sent to LINE can be neither edited nor deleted, so a stale button stays tappable: whoever resolves tokens says so in words.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from adapters import base, wire
from adapters.base import Caps, Cards, Delivery, Inbound, Later, Message, cut, utf16

# At DEBUG the SDK logs whole answers, and an answer may be a link token.
logging.getLogger("linebot").setLevel(logging.INFO)

MESSAGING: Final = "linebot.v3.messaging"
API: Final = "https://api.line.me"
LINK: Final = "https://access.line.me/dialog/bot/accountLink"
ALT: Final = 1500  #: UTF-16 units of what a notification and a screen reader get
BUBBLE: Final = 30_000  #: bytes of a bubble's JSON as the SDK writes it (ASCII: up to six bytes a unit)
CAROUSEL: Final = 50_000  #: the same of a carousel, which takes twelve bubbles
ROW: Final = 4  #: with more buttons than these, a card has them as quick replies too: no scrolling back on a phone
PACE: Final = timedelta(seconds=60)  #: after a 429, which comes without Retry-After
AGAIN: Final = timedelta(seconds=30)
REMEMBERED: Final = timedelta(
    hours=24
)  #: a retry key is known this long (https://developers.line.biz/en/docs/messaging-api/retrying-api-request/)
#: 藍 for what moves things on, red for what ends them: the web chat's own colours; white on them is 7:1.
STYLES: Final[Mapping[str, Mapping[str, str]]] = {
    "plain": {"style": "secondary"},
    "primary": {"style": "primary", "color": "#165E83"},
    "danger": {"style": "primary", "color": "#A61B1B"},
    "quiet": {"style": "link"},
}
WORDLESS: Final = frozenset({"image", "video", "audio", "file", "location", "sticker"})
WHERE: Final = {"user": "userId", "group": "groupId", "room": "roomId"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What LINE said to one call."""

    status: int  #: of HTTP; 0: no answer came
    body: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""  #: there was none
    left: bool = True  #: False: the request surely never reached LINE


class Line:
    """One channel of the Messaging API."""

    name = "line"
    inside = False
    caps = Caps(
        buttons=13, label=20, text=4500, size=utf16, follow=True, cards=Cards(12, buttons=6, text=900), again=REMEMBERED,
    )  # fmt: skip

    @classmethod
    def made(cls, given: Mapping[str, str]) -> "Line":
        """Make it from the environment's variables (without TSUNAGI_)."""
        return cls(
            given.get("LINE_CHANNEL_ACCESS_TOKEN", ""),
            given.get("LINE_CHANNEL_SECRET", ""),
            given.get("LINE_API_URL", ""),
        )

    def __init__(self, token: str, secret: str, api_url: str = "", timeout: float = 10.0) -> None:
        self._token = token
        self._secret = secret
        self._host = (api_url or API).rstrip("/")
        # The SDK's own default is five minutes; half for the connection tells "never left" from "may have arrived".
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=timeout / 2)
        self._sdk: dict[str, Any] = {}  #: its modules that have been read
        self._client: Any = None

    def missing(self) -> tuple[str, ...]:
        token = "TSUNAGI_LINE_CHANNEL_ACCESS_TOKEN: the channel access token (long-lived), from the tab Messaging API"
        secret = "TSUNAGI_LINE_CHANNEL_SECRET: the channel secret, from the tab Basic settings"
        return (token,) * (not self._token) + (secret,) * (not self._secret)

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def take(self, hook: base.Hook, hand: base.Hand) -> base.Ack:
        if not self._signed(hook, await self._read("linebot.v3.webhook")):
            return base.FORGED
        for event in hear(_read(hook.body)):  # of signed nonsense nothing: sending it again would not mend it
            await hand(event)
        return base.Ack()

    async def heed(self, event: Inbound) -> None:
        """Do nothing: LINE has no spinner to stop."""

    async def _read(self, name: str) -> Any:
        """A module of the SDK, whose hundreds of models take a second to read: in a thread, when the first event or letter comes."""
        if name not in self._sdk:
            self._sdk[name] = await asyncio.to_thread(import_module, name)
        return self._sdk[name]

    def _signed(self, hook: base.Hook, webhook: Any) -> bool:
        try:
            body, signature = hook.body.decode(), hook.headers.get("x-line-signature", "")
        except UnicodeError:
            return False
        # without a secret anybody could sign
        return bool(self._secret) and bool(webhook.SignatureValidator(self._secret).validate(body, signature))

    def render(self, message: Message) -> dict[str, Any]:
        """Make the `messages` of one call, which counts as one push however many they are."""
        title, text = _said(message)
        if not (title or message.facts or message.choices or message.cards):
            return {"messages": [{"type": "text", "text": text or "…"}]}
        alt = cut("\n".join(filter(None, (title, text))), ALT, utf16) or "…"
        bubbles, before = zip(*map(_sized, message.cards or (message,)), strict=True)
        cards: list[dict[str, Any]] = [
            {"type": "flex", "altText": alt, "contents": each} for each in _side_by_side(bubbles)
        ]
        if len(message.choices) > ROW and not message.cards:  # of several cards a label alone does not tell whose it is
            cards[0]["quickReply"] = {"items": [{"type": "action", "action": _postback(c)} for c in message.choices]}
        return {"messages": [*({"type": "text", "text": words} for words in before if words), *cards]}

    async def send(self, parcel: base.Parcel) -> Delivery:
        """Reply once where somebody waits, else push; `only` is not heeded, a group has no private corner on LINE."""
        messaging = await self._read(MESSAGING)
        try:  # the SDK's models refuse what they know LINE refuses
            content = self.render(parcel.message)
            if parcel.reply:
                reply = messaging.ReplyMessageRequest.from_dict({"replyToken": parcel.reply, **content})
                # Never with a retry key: LINE answers 400 to one on a reply.
                said = await self._ask("reply_message", reply)
                if said.status != 400:  # used, or older than a minute: then it goes as a push
                    return _delivery(said, keyed=False)
            push = messaging.PushMessageRequest.from_dict({"to": parcel.to.conversation, **content})
        except ValueError as broken:
            return base.Refused(type(broken).__name__)
        return _delivery(await self._ask("push_message", push, x_line_retry_key=parcel.key), keyed=True)

    async def quota(self) -> tuple[int, int | None]:
        """Tell this month's (pushes used, pushes allowed); None: no limit. Raises ConnectionError."""
        limit = await self._get("get_message_quota")
        used = await self._get("get_message_quota_consumption")
        return int(used["totalUsage"]), int(limit["value"]) if "value" in limit else None

    async def link_token(self, account: str) -> str:
        """Have LINE issue the token that opens its account link for one account: once, ten minutes. Raises ConnectionError."""
        return str((await self._get("issue_link_token", account))["linkToken"])

    async def _get(self, call: str, *given: str) -> Mapping[str, Any]:
        if (said := await self._ask(call, *given)).status == 200:
            return said.body
        raise ConnectionError(f"LINE: {said.status or said.why}")

    async def _ask(self, call: str, *given: object, **more: str) -> _Answer:
        """Make one call of the SDK's, never without a time-out."""
        messaging = await self._read(MESSAGING)
        try:
            found = await getattr(await self._api(messaging), call)(*given, _request_timeout=self._timeout, **more)
            return _Answer(200, found.to_dict())
        except messaging.ApiException as no:
            return _Answer(no.status or 0, _dict(_read(no.body or "")))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as never:
            return _Answer(0, why=type(never).__name__, left=False)
        except (aiohttp.ClientError, TimeoutError, ValueError) as perhaps:  # ValueError: an answer nobody can read
            return _Answer(0, why=type(perhaps).__name__)

    async def _api(self, messaging: Any) -> Any:
        """The client belongs to the running loop, so it is made at the first call."""
        if self._client is None:
            made = messaging.AsyncApiClient(messaging.Configuration(host=self._host, access_token=self._token))
            unused, made.rest_client.pool_manager = made.rest_client.pool_manager, wire.session(self._host)
            self._client = made
            await unused.close()
        return messaging.AsyncMessagingApi(self._client)


def account_link(link_token: str, nonce: str) -> str:
    """Where a signed-in browser is sent so that LINE binds the account; `nonce` (10–255 letters) comes back as Linking."""
    return f"{LINK}?{urlencode({'linkToken': link_token, 'nonce': nonce})}"


def hear(payload: object) -> tuple[Inbound, ...]:
    """Read a hook's events. Total: whatever is not understood is not there.

    By hand and not by the SDK's models: these refuse a whole hook for one unknown value, and LINE adds values without notice.
    """
    heard = (_event(event) for event in _list(_dict(payload).get("events")))
    return tuple(event for event in heard if event is not None)


def _event(event: Mapping[str, Any]) -> Inbound | None:
    source, kind = _dict(event.get("source")), event.get("type")
    private = source.get("type") == "user"
    conversation = _name(source.get(WHERE.get(_name(source.get("type")), "")))
    # joining and leaving is nobody's act: the group itself can be written to, or not
    account = _name(source.get("userId")) or (conversation if kind in ("join", "leave") else "")
    what = _what(event, private) if event.get("mode") != "standby" else None
    id = _name(event.get("webhookEventId"))
    if what is None or not (id and conversation and account):
        return None
    who, where = base.Sender("line", account), base.Address("line", conversation)
    natural = _name(_dict(event.get("message")).get("id"))
    reply, at = _name(event.get("replyToken")), _moment(event.get("timestamp"))
    return Inbound(id, who, where, what, natural, private=private, reply=reply, at=at)


def _what(event: Mapping[str, Any], private: bool) -> base.What | None:
    match event.get("type"):
        case "message":
            return _message(_dict(event.get("message")), private)
        case "postback":
            token = _name(_dict(event.get("postback")).get("data"))
            return base.Chose(token) if token else None
        case "follow" | "join":
            return base.Reachable(True)
        case "unfollow" | "leave":
            return base.Reachable(False)
        case "accountLink" if private:
            link = _dict(event.get("link"))
            nonce = _name(link.get("nonce"))
            return base.Linking(nonce) if link.get("result") == "ok" and nonce else None
    return None  # edits, deletions, who came and went, what LINE will think of next


def _message(message: Mapping[str, Any], private: bool) -> base.What | None:
    """In a group only what names the bot is meant for it; the rest is people talking among themselves."""
    kind, text = message.get("type"), _text(message.get("text"))
    if kind != "text":
        return base.Odd(kind if isinstance(kind, str) and kind in WORDLESS else "other") if private else None
    words = text if private else _addressed(text, _dict(message.get("mention")))
    return base.Said(words) if words.strip() else None


def _addressed(text: str, mention: Mapping[str, Any]) -> str:
    """The words without the bot's own name, or nothing when it is not named. Positions count UTF-16 units."""
    units = text.encode("utf-16-le")
    named = [m for m in _list(mention.get("mentionees")) if m.get("isSelf") is True]
    for index, length in ((m.get("index"), m.get("length")) for m in reversed(named)):
        if isinstance(index, int) and isinstance(length, int):
            units = units[: index * 2] + units[(index + length) * 2 :]
    return units.decode("utf-16-le", "ignore").strip() if named else ""


def _read(body: str | bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Mapping[str, Any]]:
    return [_dict(each) for each in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    """Without what no database takes: NULs and half letters."""
    text = value.replace("\0", "") if isinstance(value, str) else ""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _name(value: object) -> str:
    """An id or a token, whole or not at all."""
    return value if isinstance(value, str) and _text(value) == value else ""


def _moment(value: object) -> datetime | None:
    """A timestamp in milliseconds: the event's own, also when it is delivered again."""
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**42
    return datetime.fromtimestamp(value / 1000, UTC) if sound else None  # type: ignore[operator]


def _said(message: Message) -> tuple[str, str]:
    """Title and text; what is only blanks says nothing."""
    title, text = (words if words and words.strip() else "" for words in (message.title, message.text))
    return title, text


def _sized(card: Message) -> tuple[dict[str, Any], str]:
    """(its bubble, the words that found no room in it)."""
    title, text = _said(card)
    bubble = _bubble(title, text if title or text or card.facts or card.choices else "…", card)
    return (bubble, "") if len(json.dumps(bubble)) <= BUBBLE else (_bubble(title, "", card), text)


def _side_by_side(bubbles: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One alone, or a carousel; one more where its bytes are not enough: all in one call, which takes five messages."""
    rows: list[list[dict[str, Any]]] = []
    for bubble in bubbles:
        if not rows or len(json.dumps(_carousel([*rows[-1], bubble]))) > CAROUSEL:
            rows.append([])
        rows[-1].append(bubble)
    return [_carousel(row) if len(row) > 1 else row[0] for row in rows]


def _carousel(bubbles: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "carousel", "contents": bubbles}


def _bubble(title: str, text: str, message: Message) -> dict[str, Any]:
    parts = [_words(title, weight="bold", size="lg")] if title else []
    parts += [_words(text)] if text else []
    for label, value in message.facts:
        two = [_words(label, flex=2, size="sm", color="#43535D"), _words(value, flex=5, size="sm")]
        parts.append(_box("baseline", two))
    buttons = [
        {"type": "button", "height": "sm", "scaling": True, "action": _postback(c), **STYLES[c.style]}
        for c in message.choices
    ]
    halves = {"body": parts, "footer": buttons}
    return {"type": "bubble", **{half: _box("vertical", inside) for half, inside in halves.items() if inside}}


def _box(layout: str, contents: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "box", "layout": layout, "spacing": "md", "contents": contents}


def _words(text: str, **looks: object) -> dict[str, Any]:
    """Text that wraps and follows the reader's own letter size; LINE refuses an empty one."""
    return {"type": "text", "text": text if text.strip() else "—", "wrap": True, "scaling": True, **looks}


def _postback(choice: base.Choice) -> dict[str, str]:
    """A tap brings the token back, and shows the label as what the person said."""
    return {"type": "postback", "label": choice.label, "data": choice.token, "displayText": choice.label}


def _delivery(said: _Answer, keyed: bool) -> Delivery:
    """Judge an answer. `keyed`: a retry key makes sending again harmless, so nothing stays unknown."""
    # https://developers.line.biz/en/reference/messaging-api/#error-messages
    words = _text(said.body.get("message")).lower()
    match said.status:
        case 200 | 409:  # 409: this key was taken before, and the answer of then is repeated
            return base.Sent("".join(_name(last.get("id")) for last in _list(said.body.get("sentMessages"))[-1:]))
        case 429:
            return base.Gone("quota", closed=True) if "monthly" in words else Later(PACE, "rate")
        case 401 | 403:
            return base.Gone("revoked", closed=True) if said.status == 401 else base.Gone("forbidden")
        case 400 if "'to'" in words or "failed to send" in words:  # no such id, or the group has shown us out
            return base.Gone("address")
        case status if 400 <= status < 500 and status != 408:
            return base.Refused(f"{status} {_places(said.body)}".strip())
        case status:
            why = f"{status or said.why}"
            return Later(AGAIN, why) if keyed or not said.left else base.Unknown(why)


def _places(body: Mapping[str, Any]) -> str:
    """Which properties LINE refused; its sentences may quote ours."""
    return cut(" ".join(_name(each.get("property")) for each in _list(body.get("details"))).strip(), 200)
