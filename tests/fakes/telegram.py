"""A Bot API on loopback that keeps chats as Telegram does, refuses what Telegram refuses, and misbehaves on command."""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
from aiohttp import web

from tests.wire.check import fault, known, sound

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mischief:
    """What befalls the next call of a method."""

    status: int = 200
    body: JSON | str | None = None  #: None: the ordinary answer of that status
    accept: bool = False  #: the call is carried out all the same
    slow: float = 0.0  #: seconds before the answer
    cut: bool = False  #: the line goes dead instead of an answer


@dataclass(slots=True)
class Shown:
    """A message in a chat."""

    chat: int
    id: int
    text: str
    buttons: list[tuple[str, str]]
    thread: int | None = None
    edits: int = 0


class No(Exception):
    """Telegram's refusal."""

    def __init__(self, status: int, words: str, **parameters: int) -> None:
        super().__init__(words)
        self.status, self.words, self.parameters = status, words, parameters


class _Page(HTMLParser):
    """Telegram's HTML: few tags, all closed; what is left is the text that counts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open, self.entities = "", [], 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("b", "i", "u", "s", "code", "pre", "a"):
            raise No(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}" at byte offset 0')
        self.open.append(tag)
        self.entities += 1

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise No(400, "Bad Request: can't parse entities: Unexpected end tag at byte offset 0")

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> str:
    """The text after entity parsing, or Telegram's refusal."""
    page = _Page()
    page.feed(html)
    page.close()
    if page.open:
        raise No(400, "Bad Request: can't parse entities: Can't find end tag corresponding to start tag b")
    if page.entities > 100:
        raise No(400, "Bad Request: too many entities")
    return page.text.strip()


def check(payload: JSON) -> tuple[str, list[tuple[str, str]]]:
    """Every rule of sendMessage on a payload of plain values: the visible text and the buttons, or the refusal."""
    text = read(payload["text"]) if payload.get("parse_mode") == "HTML" else payload["text"].strip()
    if not text:
        raise No(400, "Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) // 2 > 4096:
        raise No(400, "Bad Request: message is too long")
    rows = payload.get("reply_markup", {}).get("inline_keyboard", [])
    buttons = [button for row in rows for button in row]
    for button in buttons:
        if not set(button) <= {"text", "callback_data", "style"} or not button["text"].strip():
            raise No(400, "Bad Request: can't parse inline keyboard button: Text buttons are unallowed")
        if not 0 < len(button["callback_data"].encode()) <= 64:
            raise No(400, "Bad Request: BUTTON_DATA_INVALID")
        if button.get("style", "danger") not in ("danger", "success", "primary"):
            raise No(400, "Bad Request: invalid button style specified")
    if len(buttons) > 100 or any(len(row) > 8 for row in rows):
        raise No(400, "Bad Request: reply markup is too long")
    return text, [(b["text"], b["callback_data"]) for b in buttons]


@dataclass(slots=True)
class FakeTelegram:
    """One bot's Telegram. `chats` maps an id to why it takes nothing ("" = it does)."""

    token: str = "777:AAE-town"
    username: str = "tsunagi_nagare_bot"
    url: str = ""
    chats: dict[int, str] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    taps: set[str] = field(default_factory=set)
    updates: list[JSON] = field(default_factory=list)
    offsets: list[int | None] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    payloads: list[JSON] = field(default_factory=list)  #: what came with them
    webhook: str = ""
    secret: str = ""
    allowed: list[str] = field(default_factory=list)
    pollers: int = 0
    next_update: int = 900
    wrong: list[str] = field(default_factory=list)  #: payloads that are none of Telegram's: `stop` fails with them
    _mischief: dict[str, deque[Mischief]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    # -- on command

    def next(self, method: str, *befalls: Mischief) -> None:
        self._mischief.setdefault(method, deque()).extend(befalls)

    def block(self, chat: int, why: str = "Forbidden: bot was blocked by the user") -> None:
        self.chats[chat] = why

    def migrate(self, old: int, new: int) -> None:
        self.moved[old] = new
        self.chats[new] = ""

    def texts(self, chat: int) -> list[str]:
        return [s.text for s in self.shown if s.chat == chat]

    async def happen(self, update: JSON, *, known: bool = True) -> int:
        """Something happened: kept for who asks, or posted to the hook. Answers the hook's status, or 0.

        `known` False: it is nothing that Telegram says today.
        """
        self.next_update += 1
        update = {"update_id": self.next_update, **update}
        if known:
            sound("telegram.update", update)
        if self.webhook:
            async with httpx.AsyncClient(trust_env=False) as line:
                header = {"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {}
                return (await line.post(self.webhook, json=update, headers=header)).status_code
        self.updates.append(update)
        self._news.set()
        return 0

    # -- the server

    async def start(self) -> "FakeTelegram":
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._call)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        assert not self.wrong, self.wrong

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        self.calls.append(method)
        given = {k: _value(k, str(v)) for k, v in (await request.post()).items()}
        self.payloads.append(given)
        waiting = self._mischief.get(method)
        befalls = waiting.popleft() if waiting else Mischief(accept=True)
        status, answer = befalls.status, befalls.body
        if befalls.accept:
            done, answered = await self._done(request, method, given)
            if befalls.body is None and befalls.status == 200:
                status, answer = done, answered
        if befalls.slow:
            await asyncio.sleep(befalls.slow)
        if befalls.cut and request.transport:
            request.transport.abort()
        if answer is None:
            answer = {"ok": False, "error_code": status, "description": "Bad Gateway"}
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=body, content_type="application/json")

    async def _done(self, request: web.Request, method: str, given: JSON) -> tuple[int, JSON]:
        try:
            if request.match_info["token"] != self.token:
                raise No(401, "Unauthorized")
            if wrong := fault(f"telegram.{method}", given) if known(f"telegram.{method}") else "":
                self.wrong.append(wrong)
                raise No(400, f"Bad Request: {wrong}")
            act = getattr(self, f"_do_{method}", None)
            if act is None:
                raise No(404, "Not Found")
            return 200, {"ok": True, "result": await act(given)}
        except No as no:
            answer: JSON = {"ok": False, "error_code": no.status, "description": no.words}
            return no.status, answer | ({"parameters": no.parameters} if no.parameters else {})

    # -- the methods

    @property
    def me(self) -> JSON:
        return {
            "id": int(self.token.partition(":")[0]),
            "is_bot": True,
            "first_name": "つなぎ",
            "username": self.username,
        }

    def _chat(self, given: JSON) -> int:
        chat = int(given["chat_id"])
        if chat in self.moved:
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            raise No(400, words, migrate_to_chat_id=self.moved[chat])
        if chat not in self.chats:
            raise No(400, "Bad Request: chat not found")
        if why := self.chats[chat]:
            raise No(int(why[:3]) if why[:3].isdigit() else 403 if why.startswith("Forbidden") else 400, why)
        return chat

    def _note(self, shown: Shown) -> JSON:
        kind = {"type": "private", "first_name": "x"} if shown.chat > 0 else {"type": "supergroup", "title": "x"}
        chat = {"id": shown.chat, **kind}
        return {"message_id": shown.id, "date": 1_780_000_000, "from": self.me, "chat": chat, "text": shown.text}

    async def _do_getMe(self, given: JSON) -> JSON:
        return self.me

    async def _do_sendMessage(self, given: JSON) -> JSON:
        text, buttons = check(given)
        chat, thread = self._chat(given), given.get("message_thread_id")
        if thread == 404:
            raise No(400, "Bad Request: message thread not found")
        self.shown.append(Shown(chat, len(self.shown) + 1, text, buttons, thread))
        return self._note(self.shown[-1])

    async def _do_editMessageText(self, given: JSON) -> JSON:
        text, buttons = check(given)
        chat = self._chat(given)
        found = next((s for s in self.shown if (s.chat, s.id) == (chat, given["message_id"])), None)
        if found is None:
            raise No(400, "Bad Request: message to edit not found")
        if (found.text, found.buttons) == (text, buttons):
            raise No(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the same",
            )
        found.text, found.buttons, found.edits = text, buttons, found.edits + 1
        return self._note(found)

    async def _do_answerCallbackQuery(self, given: JSON) -> bool:
        query = str(given["callback_query_id"])
        if query not in self.taps:
            raise No(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.taps.discard(query)
        self.answered.append(query)
        return True

    async def _do_setWebhook(self, given: JSON) -> bool:
        self.webhook, self.secret = given.get("url", ""), str(given.get("secret_token", ""))
        self.allowed = given.get("allowed_updates", self.allowed)
        return True

    async def _do_getUpdates(self, given: JSON) -> list[JSON]:
        if self.webhook:
            raise No(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            )
        if self.pollers:
            raise No(
                409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
            )
        offset = given.get("offset")
        self.offsets.append(offset)
        self.allowed = given.get("allowed_updates", self.allowed)
        if offset is not None:
            self.updates = [u for u in self.updates if not isinstance(u["update_id"], int) or u["update_id"] >= offset]
        if not self.updates and given.get("timeout"):
            self._news.clear()
            self.pollers += 1
            try:
                await asyncio.wait_for(self._news.wait(), given["timeout"])
            except TimeoutError:
                return []
            finally:
                self.pollers -= 1
        return self.updates[:100]


#: What PTB sends as it is; every other field of its form is JSON.
WORDS = {"text", "parse_mode", "url", "secret_token", "callback_query_id", "chat_id"}


def _value(name: str, text: str) -> Any:
    return text if name in WORDS else json.loads(text)
