"""Telegram through python-telegram-bot: a hook with a secret or a poll, inline keyboards, cards that are edited in place.

Nothing waits for a rate here: 429 is `Later`, so that one chat's pause is a row and no other chat stands behind it.
"""

import asyncio
import hmac
import html
import json
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import aiohttp
from telegram import Bot, CallbackQuery, Chat, Update, User
from telegram import Message as Note
from telegram.constants import MessageAttachmentType
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
    TimedOut,
)  # fmt: skip
from telegram.helpers import create_deep_linked_url
from telegram.request import BaseRequest, RequestData

from adapters import base, wire
from adapters.base import Address, Delivery, Gone, Inbound, Later, Message, Refused, Sent, Unknown

log = logging.getLogger(__name__)

NAME: Final = "telegram"
#: Named, because Telegram leaves my_chat_member out otherwise, and nobody learns of a block.
HEARD: Final = ("message", "callback_query", "my_chat_member")
#: What is read of an update. PTB wants every field of its own day's Bot API: neither an older server nor a newer kind of
#: gift in what somebody replies to may cost us their answer.
READ: Final = {
    "update_id", "message", "callback_query", "id", "data", "chat_instance", "message_id", "date", "chat", "type", "from",
    "is_bot", "first_name", "username", "language_code", "text", "sender_chat", "via_bot", "reply_to_message",
    "is_topic_message", "message_thread_id", "migrate_to_chat_id", "migrate_from_chat_id",
}  # fmt: skip
#: What a deep link may carry (core.telegram.org/bots/features#deep-linking).
CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: /word, /word@bot, also with the slash of a Japanese keyboard.
SLASH: Final = re.compile(r"[/／]\s*(?P<word>[^\s@]*)(?:@(?P<bot>[A-Za-z0-9_]+))?(?P<rest>.*)", re.S)
MENTION: Final = re.compile(r"(?<![\w@])@([A-Za-z0-9_]{3,32})(?![A-Za-z0-9_])\s*")
#: Telegram's own words for an address that will not take a letter. A 403 that is not among them disables nobody.
GONE: Final = (
    "bot was blocked|user is deactivated|initiate conversation|bot was kicked|bot is not a member|messages to bots|"
    "chat not found|user not found|chat was deleted|chat was deactivated|peer_id_invalid|no rights to send|"
    "not enough rights|chat_write_forbidden|chat_restricted|thread not found|topic_deleted|"
    "message to edit not found|message can't be edited|message_id_invalid"
)
#: Failures before the request left: it surely did not arrive.
NOT_LEFT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
AGAIN: Final = timedelta(seconds=30)
FULL: Final = 10.0  #: seconds, where a 429 does not say how long
LONGEST_PAUSE: Final = 60.0


class _Full(TelegramError):
    """429. PTB's own RetryAfter is raised only where the answer names a time, and warns whenever it is made."""

    def __init__(self, seconds: float) -> None:
        super().__init__("Too Many Requests")
        self.seconds = seconds


class _Wire(BaseRequest):
    """PTB's requests through the client that the other platforms' libraries use: with httpx, PTB's own, a letter took three times
    the CPU. Every 429 is told apart, and no answer's body is logged.
    """

    __slots__ = ("_connections", "_patience", "_session")

    def __init__(self, connections: int, patience: float) -> None:
        self._connections = connections
        self._patience = patience  #: seconds for a connection, and for an answer
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._patience

    async def initialize(self) -> None:
        """Nothing is opened before the first request."""

    async def shutdown(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, read_timeout: Any = BaseRequest.DEFAULT_NONE,
        *_other: Any, **_timeouts: Any,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Send a request that has no files. Raises TimedOut or NetworkError with aiohttp's own error as the cause."""
        answer = read_timeout if isinstance(read_timeout, int | float) else self._patience
        limit = aiohttp.ClientTimeout(self._patience + answer, connect=self._patience)
        form = request_data.json_parameters if request_data else None
        try:
            async with self._open(url).request(method, url, data=form, timeout=limit, allow_redirects=False) as found:
                code, payload = found.status, await found.read()
        except TimeoutError as late:
            raise TimedOut from late
        except aiohttp.ClientError as broken:
            raise NetworkError(type(broken).__name__) from broken
        if code == 429:
            raise _Full(_retry_after(payload))
        return code, payload

    def _open(self, url: str) -> aiohttp.ClientSession:
        if self._session is None:
            lines = aiohttp.TCPConnector(limit=self._connections)
            self._session = wire.session(url, connector=lines, headers={"User-Agent": self.USER_AGENT})
        return self._session

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        found = _loads(payload)
        if not isinstance(found, dict):
            raise TelegramError("Invalid server response")
        return found


class _Bot(Bot):
    """PTB's bot, which can also be asked for updates as they came."""

    __slots__ = ()

    async def updates(self, offset: int | None, wait: int, patience: float) -> list[dict[str, Any]]:
        """`get_updates` reads a batch whole or not at all, and logs what it cannot read: one odd update stops all."""
        asked = {"offset": offset, "timeout": wait, "allowed_updates": HEARD}
        found = await self._post("getUpdates", asked, read_timeout=wait + patience)
        if not isinstance(found, list):
            raise TelegramError("Invalid server response")
        return [u for u in found if isinstance(u, dict) and type(u.get("update_id")) is int]


#: Seconds until Telegram is told once more where to post: somebody may have told it otherwise.
HOOKED: Final = 3_600.0


def _gap(conversation: str) -> float:
    """Seconds between two messages: one a second to a person, twenty a minute to a group (its id is negative)."""
    return 3.0 if conversation.startswith("-") else 1.0


class Telegram:
    """One bot. It is posted to (`take`) where it has a secret and a public address, else it asks (`listen`)."""

    name = NAME
    inside = False
    caps = base.Caps(buttons=8, label=64, text=3900, edit=True, size=base.utf16, gap=_gap, second=25)

    @classmethod
    def made(cls, given: Mapping[str, str]) -> "Telegram":
        """Make it from the environment's variables (without TSUNAGI_)."""
        secret, base_url = given.get("TELEGRAM_SECRET_TOKEN", ""), given.get("BASE_URL", "")
        posted = secret and (base_url.startswith("https://") or "TELEGRAM_API_URL" in given)
        return cls(
            given.get("TELEGRAM_BOT_TOKEN", ""), secret, given.get("TELEGRAM_API_URL", ""),
            hook=f"{base_url}/hooks/telegram" if posted else "",
        )  # fmt: skip

    def __init__(
        self, token: str, secret: str = "", api_url: str = "", *,
        hook: str = "", timeout: float = 10.0, wait: int = 25, pause: float = 1.0,
    ) -> None:  # fmt: skip
        """`hook` is where Telegram posts to; empty: it is asked.

        `timeout` seconds for an answer; `wait` seconds that a poll stays open; `pause` the first back-off, doubled.
        """
        self._token = token
        self._secret = secret
        self._hook = hook
        self._url = (api_url or "https://api.telegram.org").rstrip("/").removesuffix("/bot") + "/bot"
        self._timeout = timeout
        self._wait = wait
        self._pause = pause
        self._id = token.partition(":")[0]  # the bot's own account
        self._called = ""  # its @name, learnt from what Telegram answers
        self._made: tuple[_Bot, _Wire, _Wire] | None = None

    # -- what an operator asks

    def missing(self) -> tuple[str, ...]:
        """Say in words what the settings lack."""
        token = "TSUNAGI_TELEGRAM_BOT_TOKEN: the token from BotFather, digits, a colon, letters"
        secret = "TSUNAGI_TELEGRAM_SECRET_TOKEN: at most 256 of A-Z a-z 0-9 _ -"
        lacking = not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", self._token)
        odd = not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", self._secret)
        return (token,) * lacking + (secret,) * odd

    async def who(self) -> Delivery:
        """Ask Telegram who we are: `Sent` with the bot's @name, or why there is no answer."""
        done = await self._try(lambda bot: bot.get_me(), harmless=True)
        return Sent(self._called) if isinstance(done, Sent) else done

    async def post_to(self, url: str) -> Delivery:
        """Have Telegram post to this address with our secret; with an empty one it waits to be asked by `listen`."""
        return await self._try(
            lambda bot: bot.set_webhook(url, secret_token=self._secret or None, allowed_updates=HEARD), harmless=True
        )

    def link(self, code: str) -> str:
        """The deep link that brings a one-time code (at most 64 of A-Z a-z 0-9 _ -); empty until `who` has answered."""
        return create_deep_linked_url(self._called, code) if self._called else ""

    # -- out

    def render(self, message: Message) -> dict[str, Any]:
        """Make sendMessage's payload, without its chat. HTML: three letters to escape where MarkdownV2 has eighteen."""
        lines = [f"<b>{_html(message.title)}</b>"] if message.title else []
        lines.append(_html(_visible(message.text)))
        lines += ["", *(f"{_html(label)}: {_html(value)}" for label, value in message.facts)] if message.facts else []
        rows = [[_button(choice)] for choice in message.choices if choice.token]
        return {
            "text": "\n".join(lines),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},  # a preview would fetch a one-time page
        } | ({"reply_markup": {"inline_keyboard": rows}} if rows else {})

    async def send(self, parcel: base.Parcel) -> Delivery:
        """Send once. There is no key that Telegram would know a letter by: a time-out is Unknown."""
        to, payload = parcel.to, self.render(parcel.message)
        thread = int(to.thread) if to.thread and to.thread.isdecimal() else None
        done = await self._try(lambda bot: bot.send_message(to.conversation, message_thread_id=thread, **payload))
        if isinstance(done, Gone) and thread and done.why in ("thread not found", "topic_deleted"):
            return Gone(done.why, Address(NAME, to.conversation))
        return done

    async def edit(self, ref: base.Ref, message: Message) -> Delivery:
        """Change a card. Doing it twice changes nothing, so what may have arrived is simply done again."""
        chat, _, number = ref.id.rpartition(":")
        if not (chat and number.isdecimal()):
            return Gone("no such message")
        bare: dict[str, Any] = {
            "reply_markup": {"inline_keyboard": []}
        }  # old buttons go, whatever a server makes of none
        payload = bare | self.render(message) | {"chat_id": chat, "message_id": int(number)}
        done = await self._try(lambda bot: bot.edit_message_text(**payload), harmless=True)
        unchanged = isinstance(done, Refused) and "not modified" in done.why
        return Sent(ref.id) if unchanged or isinstance(done, Sent) else done

    async def heed(self, event: Inbound) -> None:
        """Stop the spinner of a tap; one that waited too long has stopped by itself."""
        if not isinstance(event.what, base.Chose) or not event.reply:
            return
        done = await self._try(lambda bot: bot.answer_callback_query(event.reply), harmless=True)
        if not isinstance(done, Sent) and not (isinstance(done, Refused) and "query" in done.why):
            log.info("a tap was not acknowledged: %s", type(done).__name__)

    async def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""
        made, self._made = self._made, None
        if made:
            await asyncio.gather(made[1].shutdown(), made[2].shutdown())

    def _bot(self) -> _Bot:
        if self._made is None:
            logging.getLogger("telegram").setLevel(logging.INFO)  # below that it logs what is sent
            talk, poll = _Wire(16, self._timeout), _Wire(1, self._timeout)
            self._made = _Bot(self._token, self._url, request=talk, get_updates_request=poll), talk, poll
        return self._made[0]

    async def _try(self, call: Callable[[_Bot], Awaitable[object]], *, harmless: bool = False) -> Delivery:
        """Call Telegram; whatever comes of it is a value. `harmless`: to do it twice is to do it once."""
        try:
            answer = await call(self._bot())
        except Exception as broken:
            return outcome(broken, harmless=harmless)
        us = answer.from_user if isinstance(answer, Note) else answer
        if isinstance(us, User):
            self._called = us.username or self._called
        return Sent(f"{answer.chat.id}:{answer.message_id}" if isinstance(answer, Note) else "")

    # -- in

    async def take(self, hook: base.Hook, hand: base.Hand) -> base.Ack:
        """Verify the secret, hand on, say yes. Without a secret of ours every hook is forged."""
        given = hook.headers.get("x-telegram-bot-api-secret-token", "").encode("utf-8", "replace")
        if not self._secret or not hmac.compare_digest(given, self._secret.encode()):
            return base.FORGED
        for event in self.hear(_loads(hook.body)):
            await hand(event)
        return base.Ack()

    async def listen(self, hand: base.Hand, lease: base.Lease) -> None:
        """Ask for updates while we hold the lease; the offset moves past an update when it is kept.

        Without an offset Telegram gives what nobody has confirmed. It is forgotten when all is confirmed: after a quiet
        week Telegram counts from anywhere (core.telegram.org/bots/api#update), and an old offset would hide that.
        """
        offset, failed = None, 0
        await self.who()  # our name, for deep links: every process learns it
        while self._hook:
            done = await self.post_to(self._hook) if await lease() else None
            await asyncio.sleep(HOOKED if isinstance(done, Sent) else self._wait)
        while True:
            try:
                found = await self._bot().updates(offset, self._wait, self._timeout) if await lease() else []
                offset = offset if found else None
                for update in found:
                    for event in self.hear(update):
                        await hand(event)
                    offset = update["update_id"] + 1
                failed = 0
                await asyncio.sleep(0 if found else self._pause)
            except Exception as broken:
                rest = min(self._pause * 2 ** min(failed, 10), LONGEST_PAUSE)
                rest = broken.seconds if isinstance(broken, _Full) else rest
                failed += 1
                log.warning("no updates from Telegram: %s; again in %.0f s", _plainly(broken), rest)
                await asyncio.sleep(rest)

    def hear(self, payload: object) -> tuple[Inbound, ...]:
        """Read an update, pure: its event, or none. PTB checks no types, so what it stumbles over is silence too."""
        try:
            found = self._heard(payload) if isinstance(payload, dict) else None
        except Exception as odd:
            log.warning("an update of Telegram's could not be read: %s", type(odd).__name__)
            return ()
        return (found,) if found else ()

    def _heard(self, raw: dict[str, Any]) -> Inbound | None:
        if change := raw.get("my_chat_member"):
            return self._met(raw["update_id"], change)
        update = Update.de_json(_lean(raw), None)
        if update.callback_query:
            return self._tapped(update.update_id, update.callback_query)
        return self._noted(update.update_id, update.message, _kind(raw["message"])) if update.message else None

    def _tapped(self, number: int, tap: CallbackQuery) -> Inbound | None:
        note = tap.message
        if not note or not isinstance(tap.data, str) or tap.from_user.is_bot or note.chat.type == Chat.CHANNEL:
            return None
        what, key = base.Chose(tap.data), f"tap:{tap.id}"
        return self._event(number, tap.from_user, note.chat, what, key, thread=_thread(note), reply=str(tap.id))

    def _met(self, number: int, change: dict[str, Any]) -> Inbound | None:
        """We were blocked, unblocked, added to a group or thrown out; a new rank there is no news."""
        before, after = _is_in(change["old_chat_member"]), _is_in(change["new_chat_member"])
        chat, user = Chat.de_json(change["chat"], None), User.de_json(change["from"], None)
        if before == after or chat.type == Chat.CHANNEL:
            return None
        return self._event(number, user, chat, base.Reachable(after))

    def _noted(self, number: int, note: Note, kind: str) -> Inbound | None:
        chat, user = note.chat, note.from_user
        if old := note.migrate_from_chat_id:  # said in the new chat; the old one says migrate_to: one act, one key
            return self._event(number, user, chat, base.Moved(_int(chat.id)), "moved", conversation=_int(old))
        if new := note.migrate_to_chat_id:
            return self._event(number, user, chat, base.Moved(_int(new)), "moved")
        if user is None or user.is_bot or note.sender_chat or chat.type == Chat.CHANNEL:
            return None  # bots, our own echo, anonymous admins, somebody who speaks as a channel
        what = self._meant(note, kind, alone=chat.type == Chat.PRIVATE and chat.id == user.id)
        return self._event(number, user, chat, what, _int(note.message_id), thread=_thread(note)) if what else None

    def _meant(self, note: Note, kind: str, *, alone: bool) -> base.What | None:
        """What is meant for us: everything in private, in a group only commands, mentions and replies to us."""
        answered = note.reply_to_message.from_user if note.reply_to_message else None
        ours = alone or (answered is not None and str(answered.id) == self._id)
        if note.text is None or kind:
            return base.Odd(kind) if ours and kind else None
        if command := SLASH.fullmatch(note.text.strip()):
            return self._commanded(command["word"], command["bot"], command["rest"].strip(), alone=alone)
        named = any(self._is_us(m[1]) for m in MENTION.finditer(note.text))
        said = MENTION.sub(lambda m: "" if self._is_us(m[1]) else m[0], note.text).strip()
        return base.Said(said) if ours or named else None

    def _commanded(self, word: str, bot: str | None, rest: str, *, alone: bool) -> base.What | None:
        if bot and not self._is_us(bot):
            return None
        if word.lower() == "start":  # a code that was said before others links nobody
            linking = base.Linking(rest) if CODE.fullmatch(rest) else base.Reachable(True)
            return linking if alone else None
        return base.Said(rest if word.lower() == "tsunagi" else f"{word} {rest}".strip())

    def _is_us(self, name: str) -> bool:
        """Before we know our @name, every bot is us: privacy mode shows us no other bot's messages."""
        return name.lower() == self._called.lower() if self._called else name.lower().endswith("bot")

    def _event(
        self, number: int, user: User | None, chat: Chat, what: base.What, key: str = "",
        *, conversation: str = "", thread: str | None = None, reply: str = "",
    ) -> Inbound:  # fmt: skip
        """Ids begin with the bot's own: another bot counts from anywhere."""
        place = conversation or _int(chat.id)
        return Inbound(
            id=f"{self._id}:{_int(number)}",
            sender=base.Sender(NAME, _int(user.id) if user else ""),
            address=Address(NAME, place, thread),
            what=what,
            natural=f"{self._id}:{place}:{key}" if key else "",
            language=str(user.language_code or "") if user else "",
            private=chat.type == Chat.PRIVATE,
            reply=reply,
        )


def outcome(broken: Exception, *, harmless: bool = False) -> Delivery:
    """Say what became of a letter whose call failed. Total."""
    if isinstance(broken, ChatMigrated):
        return Gone("moved", Address(NAME, str(broken.new_chat_id)))
    if isinstance(broken, _Full):
        return Later(timedelta(seconds=broken.seconds), "429")
    if isinstance(broken, InvalidToken):  # its words may hold the token
        return Gone("revoked", closed=True)
    if isinstance(broken, Forbidden | BadRequest):
        said = re.sub(r'".*"', '"…"', str(broken).lower())[:120]
        known = re.search(GONE, said)
        return Gone(known[0]) if known else Refused(said)
    if isinstance(broken.__cause__, NOT_LEFT):
        return Later(AGAIN, "not reached")
    return Later(AGAIN, type(broken).__name__) if harmless else Unknown(type(broken).__name__)


def _plainly(broken: Exception) -> str:
    """Words for the log: what an operator can do something about, else the kind alone."""
    if isinstance(broken, Conflict):
        return "a webhook is set" if "webhook" in str(broken) else "somebody else asks with this bot's token"
    return "the token is refused" if isinstance(broken, InvalidToken) else type(broken).__name__


def _retry_after(payload: bytes) -> float:
    """How long a 429 asks us to wait, in seconds; with or without its parameters."""
    found = _loads(payload)
    parameters = found.get("parameters") if isinstance(found, dict) else None
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(min(seconds, 86_400)) if type(seconds) is int and seconds > 0 else FULL


def _loads(body: bytes) -> object:
    """JSON, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _whole(text: str) -> str:
    """Half of a surrogate pair cannot be sent at all."""
    return text.encode("utf-8", "ignore").decode()


def _html(text: str) -> str:
    return html.escape(_whole(text), quote=False)


def _visible(text: str) -> str:
    """Telegram refuses a text in which nothing is to be seen."""
    return text if any(unicodedata.category(c)[0] not in "ZC" for c in text) else "…"


def _button(choice: base.Choice) -> dict[str, str]:
    button = {"text": _visible(_whole(choice.label)), "callback_data": choice.token}
    return button | {"style": choice.style} if choice.style in ("primary", "danger") else button


def _thread(note: object) -> str | None:
    """The topic of a forum, where the message is in one."""
    return _int(note.message_thread_id) if isinstance(note, Note) and note.is_topic_message else None


def _lean(value: object) -> Any:
    return {k: _lean(v) for k, v in value.items() if k in READ} if isinstance(value, dict) else value


def _kind(note: dict[str, Any]) -> str:
    """What a message is that has no words of its sender's own; empty for words, and for what the chat itself says."""
    if "text" in note:
        return "forward" if "forward_origin" in note or "via_bot" in note else ""
    return next((kind.value for kind in MessageAttachmentType if kind.value in note), "")


def _is_in(member: dict[str, Any]) -> bool:
    """A restricted member is in or out."""
    return member["status"] in ("creator", "administrator", "member") or member.get("is_member") is True


def _int(number: object) -> str:
    """An id as we keep it. Raises TypeError for what is none: PTB checks no types."""
    if type(number) is not int:
        raise TypeError("not an id")
    return str(number)
