"""LINE on loopback: takes what LINE takes, refuses what it refuses, misbehaves on command; and the people with phones."""

import asyncio
import json
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from itertools import count
from typing import Any, Self
from uuid import UUID, uuid4

from aiohttp import web
from linebot.v3.messaging.models import Message as SdkMessage
from linebot.v3.messaging.models import RichMenuRequest

from tests.wire.check import fault, sound

TOKEN = "an-access-token"
SECRET = "a-channel-secret"
BOT = f"U{0:032x}"
#: The sentences by which LINE says which 429 it is, and what is wrong with an address or a reply token.
MONTHLY = "You have reached your monthly limit."
RATE = "The API rate limit has been exceeded. Try again later."
ADDRESS = "The property, 'to', in the request body is invalid (line: -, column: -)"
FAILED = "Failed to send messages"
REPLY_TOKEN = "Invalid reply token"
MINUTE = 60


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True)
class Fault:
    """How the next sending goes wrong."""

    status: int = 0
    message: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: bool = False  #: it was taken before anything went wrong
    hang: bool = False  #: no answer before the caller has given up
    drop: bool = False  #: the line is cut instead of an answer


@dataclass(frozen=True)
class Call:
    """A request as it came, however it was answered."""

    path: str
    status: int
    key: str = ""


@dataclass(frozen=True)
class Shown:
    """Messages that lie in a conversation."""

    to: str
    by: str  #: push or reply
    messages: tuple[Mapping[str, Any], ...]
    id: str

    @property
    def text(self) -> str:
        return "\n".join(m["text"] if m["type"] == "text" else m["altText"] for m in self.messages)

    @property
    def bubbles(self) -> list[Mapping[str, Any]]:
        """Every card, those of carousels too."""
        cards = [m["contents"] for m in self.messages if m["type"] == "flex"]
        return [bubble for c in cards for bubble in (c["contents"] if c["type"] == "carousel" else (c,))]

    @property
    def cards(self) -> list[dict[str, str]]:
        """Label → token of each card's footer."""
        footers = [bubble.get("footer", {}).get("contents", ()) for bubble in self.bubbles]
        return [{b["action"]["label"]: b["action"]["data"] for b in footer} for footer in footers]

    @property
    def buttons(self) -> dict[str, str]:
        """Label → token of all cards; of a label that several have, the first's."""
        return {label: token for card in reversed(self.cards) for label, token in card.items()}


def sign(body: bytes, secret: str = SECRET) -> str:
    return b64encode(digest(secret.encode(), body, sha256)).decode()


def hook(*events: Mapping[str, Any], secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    """A signed post of these events: (headers in lower case, body)."""
    body = json.dumps({"destination": BOT, "events": events}, ensure_ascii=False).encode()
    return {"x-line-signature": sign(body, secret), "content-type": "application/json"}, body


class LineFake:
    """`async with LineFake() as line:` listens at `line.url` until the block ends."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.calls: list[Call] = []
        self.payloads: list[Any] = []  #: what came with those that send
        self.faults: deque[Fault] = deque()
        self.blocked: set[str] = set()  #: they blocked the account: LINE says 200 and shows nothing
        self.gone: set[str] = set()  #: groups that showed the bot out
        self.members: dict[str, int] = {}  #: of a group; a push to it counts once for each
        self.limit: int | None = 200
        self.used = 0
        self.now = 0.0  #: seconds; turned by the test
        self.url = ""
        self._replies: dict[str, tuple[str, float]] = {}  #: reply token → (conversation, given at)
        self._keys: dict[str, list[dict[str, str]]] = {}  #: retry key → what was answered
        self._links: dict[str, str] = {}  #: link token → account
        self._ids = count(100_000)
        self._let_go = asyncio.Event()
        self.wrong: list[str] = []  #: payloads that are none of LINE's: the block ends with them as its failure

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**21)
        app.router.add_post("/v2/bot/message/push", self._push)
        app.router.add_post("/v2/bot/message/reply", self._reply)
        app.router.add_get("/v2/bot/message/quota", self._quota)
        app.router.add_get("/v2/bot/message/quota/consumption", self._consumption)
        app.router.add_post("/v2/bot/user/{account}/linkToken", self._link_token)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._let_go.set()
        await self._runner.cleanup()
        assert not self.wrong, self.wrong

    def fails(self, *faults: Fault) -> None:
        """Let the next sendings go wrong, one each."""
        self.faults.extend(faults)

    def last(self, to: str) -> Shown:
        return [s for s in self.shown if s.to == to][-1]

    # What people do, as the events LINE makes of it

    def event(
        self, type: str, user: str, group: str = "", *, replies: bool = True, known: bool = True, **more: Any
    ) -> dict[str, Any]:
        """An event of a person, in a group if one is named; `user` empty: LINE does not say who. `known` False: of tomorrow."""
        source = {"type": "group", "groupId": group} if group else {"type": "user"}
        made: dict[str, Any] = {
            "type": type,
            "mode": "active",
            "timestamp": 1_780_000_000_000 + next(self._ids),
            "source": {**source, **({"userId": user} if user else {})},
            "webhookEventId": f"01J{next(self._ids):023d}",
            "deliveryContext": {"isRedelivery": False},
            **more,
        }
        if replies:
            made["replyToken"] = f"{uuid4().hex}"
            self._replies[made["replyToken"]] = (group or user, self.now)
        if known:
            sound("line.webhook", {"destination": BOT, "events": [made]})
        return made

    def says(self, user: str, text: str, group: str = "", *, named: str = "", **more: Any) -> dict[str, Any]:
        """Words; `named` is how the bot is called in them."""
        message: dict[str, Any] = {"type": "text", "id": f"{next(self._ids)}", "text": text, "quoteToken": "q"}
        if named:
            index = units(text[: text.index(named)])
            who = {"type": "user", "index": index, "length": units(named), "userId": BOT, "isSelf": True}
            message["mention"] = {"mentionees": [who]}
        return self.event("message", user, group, message=message, **more)

    def sends(self, user: str, kind: str, group: str = "", *, known: bool = True, **more: Any) -> dict[str, Any]:
        """Something without words."""
        message = {"type": kind, "id": f"{next(self._ids)}", **more}
        return self.event("message", user, group, known=known, message=message)

    def taps(self, user: str, label: str, group: str = "", *, card: int = 0) -> dict[str, Any]:
        """A button of any card in the conversation, the newest first; old ones stay where they are. `card`: of those side by side."""
        here = [s.cards[card:] for s in reversed(self.shown) if s.to == (group or user)]
        found = [one[label] for cards in here for one in cards if label in one]
        return self.event("postback", user, group, postback={"data": found[0]})

    def links(self, user: str, link_token: str, nonce: str) -> dict[str, Any]:
        """The account link is opened by this person; LINE itself knows whether it is the one it was made for."""
        fits = self._links.pop(link_token, None) == user
        result = {"result": "ok" if fits else "failed", "nonce": nonce}
        return self.event("accountLink", user, replies=fits, link=result)

    @staticmethod
    def again(event: Mapping[str, Any]) -> dict[str, Any]:
        """LINE delivers it once more."""
        return {**event, "deliveryContext": {"isRedelivery": True}}

    # What is asked of LINE

    async def _push(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("X-Line-Retry-Key", "")
        body = self._looked("line.push", await request.json())
        to = str(body.get("to", ""))

        def take() -> web.Response:
            if key and not _is_uuid(key):
                return _no(400, "Invalid retry key")
            if key in self._keys:
                return _json(409, message="The retry key is already accepted", sentMessages=self._keys[key])
            if to[:1] not in ("U", "C", "R") or len(to) != 33:
                return _no(400, ADDRESS)
            if to in self.gone:
                return _no(400, FAILED)
            if refused := _refused(body):
                return refused
            cost = self.members.get(to, 1)
            if self.limit is not None and self.used + cost > self.limit:
                return _no(429, MONTHLY)
            if to not in self.blocked:
                self.used += cost
            return self._show(to, "push", body["messages"], key)

        return await self._answer(request, take, key)

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body = self._looked("line.reply", await request.json())

        def take() -> web.Response:
            if "X-Line-Retry-Key" in request.headers:
                return _no(400, "The retry key is not supported")
            if refused := _refused(body):
                return refused
            to, given = self._replies.pop(body.get("replyToken", ""), ("", -MINUTE * 2.0))
            if self.now - given > MINUTE:
                return _no(400, REPLY_TOKEN)
            return self._show(to, "reply", body["messages"], "")

        return await self._answer(request, take)

    def _looked(self, name: str, body: Any) -> Any:
        """By the vendor's own types; what is none of theirs is refused, and fails the test."""
        self.payloads.append(body)
        if wrong := fault(name, body):
            self.wrong.append(wrong)
            raise web.HTTPBadRequest(text=json.dumps({"message": wrong}), content_type="application/json")
        return body

    async def _answer(self, request: web.Request, take: Any, key: str = "") -> web.StreamResponse:
        fault = self.faults.popleft() if self.faults else None
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer = _no(401, "Authentication failed due to the following reason: invalid token.")
        elif fault is None or fault.accepted:
            answer = take()
        else:
            answer = _no(500, "not taken")
        self.calls.append(Call(request.path, fault.status if fault else answer.status, key))
        if fault is None:
            return answer
        if fault.hang:
            await self._let_go.wait()
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
        if fault.body is not None:
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        return _no(fault.status or 500, fault.message, fault.headers)

    def _show(self, to: str, by: str, messages: Sequence[Mapping[str, Any]], key: str) -> web.Response:
        sent = [{"id": f"{next(self._ids)}", "quoteToken": "q"} for _ in messages]
        if key:
            self._keys[key] = sent
        if to not in self.blocked:
            self.shown.append(Shown(to, by, tuple(messages), sent[-1]["id"]))
        return _json(200, sentMessages=sent)

    async def _quota(self, request: web.Request) -> web.Response:
        if self.limit is None:
            return self._allowed(request, type="none")
        return self._allowed(request, type="limited", value=self.limit)

    async def _consumption(self, request: web.Request) -> web.Response:
        return self._allowed(request, totalUsage=self.used)

    async def _link_token(self, request: web.Request) -> web.Response:
        token = uuid4().hex
        self._links[token] = request.match_info["account"]
        return self._allowed(request, linkToken=token)

    def _allowed(self, request: web.Request, **said: object) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _no(401, "Authentication failed due to the following reason: invalid token.")
        return _json(200, **said)


def _json(status: int, **said: object) -> web.Response:
    return web.json_response(said, status=status)


def _no(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": message}, status=status, headers=headers)


def _is_uuid(key: str) -> bool:
    with suppress(ValueError):
        return str(UUID(key)) == key.lower()
    return False


def _refused(body: Mapping[str, Any]) -> web.Response | None:
    wrong = faults_of(body.get("messages"))
    if not wrong:
        return None
    details = [{"property": where, "message": why} for where, why in wrong]
    return _json(400, message=f"The request body has {len(wrong)} error(s)", details=details)


# What LINE refuses: structure by the vendor's own models, lengths in UTF-16 units and bytes by its reference


def faults_of(messages: object) -> list[tuple[str, str]]:
    """(property, reason) of everything LINE would refuse in a call's messages."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= 5:
        return [("messages", "Size must be between 1 and 5")]
    found: list[tuple[str, str]] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        try:
            same = SdkMessage.from_dict(message).to_dict() == message
        except (ValueError, KeyError, AttributeError, TypeError):
            found.append((where, "not a message"))
            continue
        if not same:  # the models drop what they do not know
            found.append((where, "an unknown property"))
        found += _lengths(message, where)
    return found


def menu_faults(menu: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same for a rich menu: every area inside the picture, none over another, and words that can be said."""
    found = [("", wrong)] if (wrong := fault("line.menu", menu)) else []
    found += [] if RichMenuRequest.from_dict(menu).to_dict() == menu else [("", "an unknown property")]
    wide, high = menu["size"]["width"], menu["size"]["height"]
    if not (800 <= wide <= 2500 and high >= 250 and wide / high >= 1.45):
        found.append(("size", "800–2500 wide, at least 250 high, at least 1.45 times as wide as high"))
    if not 1 <= len(menu["areas"]) <= 20:
        found.append(("areas", "1 to 20"))
    taken: set[tuple[int, int]] = set()
    for at, area in enumerate(menu["areas"]):
        x, y, w, h = (area["bounds"][side] for side in ("x", "y", "width", "height"))
        here = {(a, b) for a in range(x, x + w, 7) for b in range(y, y + h, 7)}
        if x < 0 or y < 0 or x + w > wide or y + h > high or here & taken:
            found.append((f"areas[{at}].bounds", "outside, or over another"))
        taken |= here
        found += _lengths(area["action"], f"areas[{at}].action")
    return found


def _lengths(part: object, where: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if isinstance(part, list):
        for at, each in enumerate(part):
            found += _lengths(each, f"{where}[{at}]")
    if not isinstance(part, dict):
        return found
    kind = part.get("type")
    most = {"altText": 1500, "label": 20, "data": 300, "displayText": 300, "text": 5000}
    needed = {"flex": ("altText",), "text": ("text",), "postback": ("data", "label"), "message": ("text", "label")}
    for name in needed.get(kind or "", ()):
        if not str(part.get(name, "")).strip():
            found.append((f"{where}.{name}", "May not be empty"))
    for name, limit in most.items():
        limit = 300 if kind == "message" and name == "text" else limit
        if units(str(part.get(name, ""))) > limit:
            found.append((f"{where}.{name}", f"Length must be between 0 and {limit}"))
    if kind == "bubble" and len(json.dumps(part)) > 30_000:
        found.append((where, "at most 30 KB"))
    if kind == "carousel" and not 1 <= len(part["contents"]) <= 12:
        found.append((f"{where}.contents", "Size must be between 1 and 12"))
    if kind == "carousel" and len(json.dumps(part)) > 50_000:
        found.append((where, "at most 50 KB"))
    if kind == "bubble" and not ("body" in part or "footer" in part):
        found.append((where, "at least one block"))
    if kind == "box" and not part.get("contents"):
        found.append((f"{where}.contents", "May not be empty"))
    if len(part.get("items", ())) > 13:
        found.append((f"{where}.items", "at most 13"))
    for name, each in part.items():
        found += _lengths(each, f"{where}.{name}")
    return found
