"""A workspace of our own on loopback: as strict as Slack about what is posted, as careless as Slack about the rest."""

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from adapters.base import Hook
from tests.wire.check import fault, sound

TEAM = "T012"
BOT = "UBOT"
TOKEN = "xoxb-loopback"
APP_TOKEN = "xapp-loopback"
SECRET = "a signing secret"


@dataclass(frozen=True)
class Fault:
    """How the next call of a method goes wrong."""

    status: int = 200
    error: str = ""
    body: str | None = None  #: in place of JSON
    headers: dict[str, str] = field(default_factory=dict)
    accepts: bool = False  #: it does what it was asked first, as a server does whose answer is lost
    holds: float = 0.0  #: seconds before the answer
    drops: bool = False  #: closes the line instead of answering


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def wrong(blocks: object, most: int = 50) -> str:
    """What Slack would refuse in blocks (docs.slack.dev/reference/block-kit), as words; empty: nothing."""
    if not isinstance(blocks, list) or len(blocks) > most:
        return "not a list, or too many blocks"
    texts: list[str] = []
    for block in blocks:
        found = _wrong_block(block, texts)
        if found:
            return f"{found}: {block}"
    return "msg_blocks_too_long" if sum(map(units, texts)) > 12_000 else ""


def _wrong_block(block: dict[str, Any], texts: list[str]) -> str:
    match block["type"]:
        case "header":
            return _keys(block, "type", "text") or _text(block["text"], texts, 150, "plain_text")
        case "section" if "fields" in block:
            fields = block["fields"]
            if not 1 <= len(fields) <= 10:
                return "fields"
            return _keys(block, "type", "fields") or _first(_text(f, texts, 2000) for f in fields)
        case "section":
            return _keys(block, "type", "text") or _text(block["text"], texts, 3000)
        case "actions":
            parts = block["elements"]
            if not 1 <= len(parts) <= 25 or len({p["action_id"] for p in parts}) < len(parts):
                return "elements"
            return _keys(block, "type", "elements") or _first(_wrong_part(p, texts) for p in parts)
    return "unknown block"


def _wrong_part(part: dict[str, Any], texts: list[str]) -> str:
    if part["type"] == "button":
        if not 1 <= len(part["value"]) <= 2000 or part.get("style") not in (None, "primary", "danger"):
            return "button"
        return _keys(part, "type", "action_id", "text", "value", "style") or _text(
            part["text"], texts, 75, "plain_text"
        )
    options = part["options"]
    if part["type"] != "static_select" or not 1 <= len(options) <= 100:
        return "options"
    if not all(1 <= len(o["value"]) <= 150 and set(o) == {"text", "value"} for o in options):
        return "option"
    return _keys(part, "type", "action_id", "options") or _first(
        _text(o["text"], texts, 75, "plain_text") for o in options
    )


def _text(text: dict[str, Any], texts: list[str], most: int, kind: str = "") -> str:
    said = text["text"]
    texts.append(said)
    if (kind and text["type"] != kind) or _keys(text, "type", "text", "verbatim") != "":
        return "text object"
    return "" if said.strip() and units(said) <= most else f"text of {units(said)}, at most {most}"


def _keys(found: Mapping[str, object], *known: str) -> str:
    return "unknown key" if set(found) - set(known) else ""


def _first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")


class FakeSlack:
    """Web API, response_urls and a socket; `person` methods make what people do, signed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []  #: every request that came, in order
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}  #: (channel, ts) -> what stands there now
        self.whispers: list[dict[str, Any]] = []  #: ephemeral, by method or by response_url
        self.homes: dict[str, dict[str, Any]] = {}
        self.members = {"C1": {"U1", "U2"}, "G1": {"U1"}}
        self.people = {"U1", "U2"}
        self.archived: set[str] = set()
        self.revoked = False
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.used: dict[str, int] = defaultdict(int)
        self.acknowledged: list[dict[str, Any]] = []
        self.opened = 0
        self.lines: list[web.WebSocketResponse] = []
        self.deaf = False  #: a socket that opens now stands, and nothing goes over it
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self._numbers = count(1)
        self.wrong: list[str] = []  #: payloads that are none of Slack's: `stop` fails with them

    async def start(self) -> "FakeSlack":
        app = web.Application()
        app.router.add_post("/api/{method}", self._api)
        app.router.add_post("/respond/{name}", self._respond)
        app.router.add_get("/socket", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        self.ended.set()
        for line in self.lines:
            await line.close()
        await self._runner.cleanup()
        assert not self.wrong, self.wrong

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    def next(self, method: str, *faults: Fault) -> None:
        """Have the next calls of a method go wrong, one after another."""
        self.faults[method].extend(faults)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == method]

    # -- Web API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        body = await request.json() if request.content_type == "application/json" else dict(await request.post())
        body = {k: json.loads(v) if k == "view" and isinstance(v, str) else v for k, v in body.items()}
        self.calls.append((method, body))
        wants = APP_TOKEN if method == "apps.connections.open" else TOKEN
        if request.headers.get("Authorization") != f"Bearer {wants}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        return await self._misbehave(request, method, lambda: self._done(method, body))

    async def _misbehave(self, request: web.Request, method: str, do: Any) -> web.StreamResponse:
        fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is None:
            return web.json_response(do())
        if fault.accepts:
            do()
        await asyncio.sleep(fault.holds)
        if fault.drops:
            assert request.transport is not None
            request.transport.abort()
        if fault.body is not None:
            return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
        said = {"ok": False, "error": fault.error or "ratelimited"}
        return web.json_response(said, status=fault.status, headers=fault.headers)

    def _done(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, **getattr(self, "_" + method.replace(".", "_"))(body)}
        except Refusal as no:
            return {"ok": False, "error": str(no)}

    def _chat_postMessage(self, body: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(body["channel"])
        self._shown(body)
        if body.get("unfurl_links") is not False or body.get("link_names") is not False:
            raise AssertionError("previews carry content")
        ts = f"1700000000.{next(self._numbers):06}"
        self.messages[channel, ts] = body
        return {"channel": channel, "ts": ts, "message": {"text": body["text"]}}

    def _chat_postEphemeral(self, body: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(body["channel"])
        self._shown(body)
        if body["user"] not in self.members.get(channel, ()):
            raise Refusal("user_not_in_channel")
        self.whispers.append(body)
        return {"message_ts": f"1700000000.{next(self._numbers):06}"}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        place = self._channel(body["channel"]), body["ts"]
        self._shown(body)
        if place not in self.messages:
            raise Refusal("message_not_found")
        self.messages[place] = body
        return {"channel": place[0], "ts": place[1]}

    def _views_publish(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["user_id"] not in self.people:
            raise Refusal("user_not_found")
        self._looked("slack.home", body["view"])
        if body["view"]["type"] != "home" or wrong(body["view"]["blocks"], most=100):
            raise Refusal("invalid_arguments")
        self.homes[body["user_id"]] = body["view"]
        return {"view": {"id": "V1"}}

    def _apps_connections_open(self, _body: dict[str, Any]) -> dict[str, Any]:
        self.opened += 1
        return {"url": f"ws://127.0.0.1:{self.port}/socket?ticket={self.opened}"}

    def _channel(self, name: str) -> str:
        """A direct message has a channel of its own; a channel has to be ours and alive."""
        if self.revoked:
            raise Refusal("token_revoked")
        if name in self.people:
            return f"D{name}"
        if name not in self.members and name.removeprefix("D") not in self.people:
            raise Refusal("channel_not_found")
        if name in self.archived:
            raise Refusal("is_archived")
        return name

    def _shown(self, body: dict[str, Any]) -> None:
        if not body.get("text", "").strip():
            raise Refusal("no_text")
        self._looked("slack.blocks", body.get("blocks", []))
        if found := wrong(body.get("blocks", [])):
            raise Refusal("msg_blocks_too_long" if found == "msg_blocks_too_long" else "invalid_blocks")

    def _looked(self, name: str, payload: object) -> None:
        """By the vendor's own types; what is none of theirs is refused, and fails the test."""
        if unlike := fault(name, payload):
            self.wrong.append(unlike)
            raise Refusal("invalid_blocks")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        name, body = request.match_info["name"], await request.json()
        self.calls.append(("respond", body))
        if self.faults["respond"]:
            return await self._misbehave(request, "respond", lambda: self.whispers.append(body) or {})
        self.used[name] += 1
        if self.used[name] > 5:
            return web.Response(status=404, text="used_url")
        self._shown(body)
        self.whispers.append(body)
        return web.Response(text="ok")

    # -- Socket Mode

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        self.lines.append(line)
        await line.send_json({"type": "hello"})
        self._tell()
        if self.deaf:
            await self.ended.wait()
        async for message in line:
            if message.type == WSMsgType.TEXT:
                self.acknowledged.append(json.loads(message.data))
                self._tell()
        self._tell()
        return line

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, true: Any) -> None:
        """Wait for something of the socket's."""
        async with asyncio.timeout(10):
            while not true():
                await self.changed.wait()

    async def over_the_socket(self, kind: str, payload: object) -> str:
        """Send an envelope down the newest line; answers its id."""
        name = f"envelope-{next(self._numbers)}"
        await self.lines[-1].send_json({"type": kind, "envelope_id": name, "payload": payload})
        return name

    # -- what people do

    def says(self, user: str, text: str, channel: str = "", **event: object) -> Any:
        """An event_callback as docs.slack.dev/reference/events/message has it."""
        channel, ts = channel or f"D{user}", f"1700000001.{next(self._numbers):06}"
        kind = "im" if channel.startswith("D") else "channel"
        return sound("slack.event_callback", {
            "type": "event_callback", "token": "old", "team_id": TEAM, "api_app_id": "A1", "event_id": f"Ev{ts[-6:]}", "event_time": 1700000001,
            "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": BOT, "is_bot": True, "is_enterprise_install": False}],
            "event": {
                "type": "message", "user": user, "text": text, "channel": channel, "channel_type": kind, "team": TEAM, "ts": ts, "event_ts": ts,
                "client_msg_id": "e1c2", "blocks": [{"type": "rich_text", "block_id": "b", "elements": []}], **event,
            },
        })  # fmt: skip

    def taps(self, user: str, ref: str, label: str, /, **more: object) -> dict[str, Any]:
        """Press what stands under a message, by its label; from a list, pick it."""
        channel, _, ts = ref.rpartition(":")
        stands = self.messages[channel, ts]
        parts = [p for b in stands["blocks"] if b["type"] == "actions" for p in b["elements"]]
        for part in parts:
            if part["type"] == "button" and part["text"]["text"] == label:
                return self._pressed(user, channel, ts, part, more)
            for option in part.get("options", ()):
                if option["text"]["text"] == label:
                    picked = {"type": "static_select", "action_id": part["action_id"], "selected_option": option}
                    return self._pressed(user, channel, ts, picked, more)
        raise AssertionError(f"nothing is called {label}")

    def _pressed(self, user: str, channel: str, ts: str, part: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        return sound("slack.block_actions", {
            "type": "block_actions", "api_app_id": "A1", "token": "old", "trigger_id": f"{number}.trigger",
            "team": {"id": TEAM, "domain": "nagare"}, "user": {"id": user, "username": "x", "name": "x", "team_id": TEAM},
            "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False},
            "channel": {"id": channel, "name": "x"}, "message": {"type": "message", "ts": ts, "text": "x"}, "enterprise": None, "is_enterprise_install": False,
            "response_url": f"http://127.0.0.1:{self.port}/respond/{number}",
            "actions": [part | {"block_id": "b1", "action_ts": f"1700000002.{number:06}"}], **more,
        })  # fmt: skip

    def commands(self, user: str, text: str, channel: str = "C1") -> dict[str, str]:
        number = next(self._numbers)
        return sound("slack.command", {
            "token": "old", "team_id": TEAM, "team_domain": "nagare", "channel_id": channel, "channel_name": "x", "user_id": user, "user_name": "x",
            "command": "/tsunagi", "text": text, "api_app_id": "A1", "is_enterprise_install": "false",
            "response_url": f"http://127.0.0.1:{self.port}/respond/{number}", "trigger_id": f"{number}.trigger",
        })  # fmt: skip


class Refusal(Exception):
    """Slack's `error`."""


def hook(payload: object, *, secret: str = SECRET, age: int = 0, **headers: str) -> Hook:
    """What Slack posts, signed: an event as JSON, a tap as a form around JSON, a command as a form."""
    if isinstance(payload, bytes):
        body, media = payload, "application/json"
    elif isinstance(payload, dict) and "command" in payload:
        body, media = urlencode(payload).encode(), "application/x-www-form-urlencoded"
    elif isinstance(payload, dict) and payload.get("type") == "block_actions":
        body, media = urlencode({"payload": json.dumps(payload)}).encode(), "application/x-www-form-urlencoded"
    else:
        body, media = json.dumps(payload).encode(), "application/json"
    stamp = str(int(time.time()) - age)
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    proof = {"content-type": media, "x-slack-request-timestamp": stamp, "x-slack-signature": signature or ""}
    return Hook(proof | {k.replace("_", "-"): v for k, v in headers.items()}, body)
