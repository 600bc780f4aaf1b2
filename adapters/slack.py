"""Slack: Bolt proves a hook and holds the socket, slack_sdk sends. Blocks go out; messages, taps, commands come in."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import aiohttp
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from adapters import base, wire
from adapters.base import (
    Ack,
    Address,
    Choice,
    Delivery,
    Gone,
    Hand,
    Hook,
    Inbound,
    Later,
    Message,
    Said,
    Sender,
    Sent,
    Unknown,
)

log = logging.getLogger(__name__)
# The SDKs log whole requests, texts and tickets among them: they are silent, and what matters is said here.
_SILENT: Final = logging.getLogger(f"{__name__}.sdk")
_SILENT.setLevel(logging.CRITICAL + 1)

#: More choices than this are a list to pick from.
BUTTONS: Final = 10
#: A conversation that is a person's App Home, not a channel: the view is published, never posted.
HOME: Final = "home:"
SOON: Final = timedelta(seconds=30)
OPEN_SECONDS: Final = 30
#: Beats without a line before it is made anew, beyond what the SDK mends by itself.
DOWN: Final = 6

SLOWER: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
UNSURE: Final = frozenset({"internal_error", "fatal_error", "request_timeout", "service_unavailable"})
#: This address will not take it; any other refusal is the message's own. An error nobody has listed disables nobody.
#: Nothing goes to anybody any more until an operator has looked.
REVOKED: Final = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"})
GONE: Final = re.compile(
    "account_inactive|access_denied|cannot_dm_bot|cant_update_message|channel_is_limited_access|channel_not_found|"
    "edit_window_closed|ekm_access_denied|enterprise_is_restricted|invalid_auth|is_archived|is_inactive|"
    "message_not_found|messages_tab_disabled|missing_scope|no_permission|not_allowed_token_type|not_authed|"
    "not_in_channel|org_login_required|restricted_action(_.*)?|team_access_not_granted|thread_not_found|token_expired|"
    "token_revoked|update_not_allowed|user_disabled|user_not_found|user_not_in_channel|user_not_visible"
)

_STAMP: Final = re.compile(r"[0-9]{1,12}")
_LINK: Final = re.compile(r"https?://(?:(?!&[lg]t;)[\w.~:/?#\[\]@!$'()*+,;=%&-])*[\w/=#%-]", re.ASCII)
_MARKUP: Final = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(text: str) -> str:
    """Escape a text; only our own web addresses become links, for `verbatim` leaves the rest alone (@channel too)."""
    return _LINK.sub(r"<\g<0>>", escape(text))


def size(text: str) -> int:
    """Length as Slack may count it, on the safe side: escaped, in UTF-16 units."""
    return base.utf16(mrkdwn(text))


class Slack:
    """One workspace. Accounts are "TEAM/USER", as in the town file; Refs are "channel:ts".

    `home` is said for whoever opens the App Home, and the answer is published there; empty: the Home stays as it is.
    """

    name = "slack"
    inside = False
    # A list takes 100; a text section 3,000, all text of a message about 13,000 (bolt-js #2509).
    caps = base.Caps(buttons=100, label=75, text=2900, edit=True, size=size)

    @classmethod
    def made(cls, given: Mapping[str, str]) -> "Slack":
        """Make it from the environment's variables (without TSUNAGI_)."""
        return cls(
            given.get("SLACK_BOT_TOKEN", ""), given.get("SLACK_SIGNING_SECRET", ""), given.get("SLACK_APP_TOKEN", ""),
            given.get("SLACK_API_URL", ""), home=given.get("HOME", ""),
        )  # fmt: skip

    def __init__(
        self, token: str = "", secret: str = "", app_token: str = "", api_url: str = "", *,
        home: str = "", timeout: float = 10.0, beat: float = 5.0, ping: float = 5.0,
    ) -> None:  # fmt: skip
        self._token, self._secret, self._app_token = token, secret, app_token
        self._api_url = api_url or AsyncWebClient.BASE_URL
        self._home = home
        self._timeout, self._beat, self._ping = timeout, beat, ping
        self._session: aiohttp.ClientSession | None = None
        self._bolt: AsyncApp | None = None

    def missing(self) -> tuple[str, ...]:
        found = [] if self._token else ["TSUNAGI_SLACK_BOT_TOKEN"]
        if not (self._secret or self._app_token):
            found.append("TSUNAGI_SLACK_SIGNING_SECRET (hooks) / TSUNAGI_SLACK_APP_TOKEN (socket mode)")
        return tuple(found)

    # -- out

    def render(self, message: Message) -> dict[str, Any]:
        blocks = [*_header(message), *_section(message.text), *_fields(message.facts), *_elements(message.choices)]
        return {"text": escape(message.text.strip() or message.title or "…"), "blocks": blocks}

    async def send(self, parcel: base.Parcel) -> Delivery:
        shown, where = self.render(parcel.message), parcel.to.conversation
        if where.startswith(HOME):
            view = {"type": "home", "blocks": shown["blocks"]}
            return _again(await _told(self._web().views_publish(user_id=_id(where), view=view)))
        if parcel.only and parcel.reply:
            answered = await self._respond(parcel.reply, shown)
            if not isinstance(answered, Gone):
                return answered
        quiet: dict[str, Any] = {"thread_ts": parcel.to.thread, "link_names": False}
        if parcel.only:
            return await _told(
                self._web().chat_postEphemeral(channel=_id(where), user=_id(parcel.only), **shown, **quiet)
            )
        quiet |= {"unfurl_links": False, "unfurl_media": False}
        return await _told(self._web().chat_postMessage(channel=_id(where), **shown, **quiet))

    async def edit(self, ref: base.Ref, message: Message) -> Delivery:
        channel, _, ts = ref.id.rpartition(":")
        if not channel:
            return Gone("never to be changed")  # an ephemeral answer, an App Home
        shown = self.render(message)
        return _again(await _told(self._web().chat_update(channel=channel, ts=ts, link_names=False, **shown)))

    async def _respond(self, url: str, shown: dict[str, Any]) -> Delivery:
        """Answer through a response_url (30 minutes, five times): it reaches places that the bot is no member of."""
        session = self._web().session
        hook = AsyncWebhookClient(url, session=session, logger=_SILENT, retry_handlers=[])
        sending = hook.send(response_type="ephemeral", replace_original=False, **shown)
        try:
            answer = await sending
        except Exception as broken:
            return _broken(broken)
        if answer.status_code == 429:
            return Later(_pause(answer.headers), "ratelimited")
        if answer.status_code >= 500:
            return Unknown(f"HTTP {answer.status_code}")
        return Sent() if answer.status_code == 200 else Gone("response_url")

    def _web(self) -> AsyncWebClient:
        """Make the client inside the running loop; nothing is repeated by itself, for a lost answer may mean posted."""
        return AsyncWebClient(
            self._token, self._api_url, session=self._shared(), logger=_SILENT, retry_handlers=[]
        )  # fmt: skip

    def _shared(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            limit = aiohttp.ClientTimeout(total=self._timeout, connect=self._timeout / 2)
            self._session = wire.session(self._api_url, timeout=limit)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # -- in

    async def take(self, hook: Hook, hand: Hand) -> Ack:
        stamp = hook.headers.get("x-slack-request-timestamp", "")
        signature = hook.headers.get("x-slack-signature", "")
        # Slack's verifier raises at a time that is no number, and at letters that are not ASCII.
        if not (self._secret and _STAMP.fullmatch(stamp) and signature.isascii()):
            return base.FORGED
        try:
            body = hook.body.decode()
        except UnicodeDecodeError:
            return base.FORGED
        # Bolt reads a body before it proves it, and stumbles over what is oddly made: it gets the bytes to prove alone.
        request = AsyncBoltRequest(body="", headers=dict(hook.headers), context={"hand": hand})
        request.raw_body = body
        answer = await self._app().async_dispatch(request)
        if answer.status == 401:
            return base.FORGED
        return Ack(answer.status, answer.body.encode(), answer.first_headers()["content-type"].partition(";")[0])

    async def heed(self, event: Inbound) -> None:
        """Nothing: the yes to the hook has stopped the spinner."""

    async def listen(self, hand: Hand, lease: base.Lease) -> None:
        """Hold the socket while this process has the lease; without an app token there is no socket to hold."""
        pause = self._beat
        while self._app_token:
            try:
                if await lease():
                    await self._hold(hand, lease)
                pause = self._beat
            except Exception as broken:
                why = _at(getattr(broken.response, "data", None), "error") if isinstance(broken, SlackApiError) else ""
                log.warning("slack: the socket could not be kept open: %s", why or type(broken).__name__)
                pause = min(pause * 2, 60.0)  # Slack opens one a minute
            await asyncio.sleep(pause)

    async def _hold(self, hand: Hand, lease: base.Lease) -> None:
        line = _Line(self._app(), self._app_token, self._api_url, hand, self._ping)
        down = 0
        try:
            # Asked for here, so that a refusal is heard: the SDK would try for ever, and the same ticket too.
            line.client.wss_uri = await line.client.issue_new_wss_url()
            async with asyncio.timeout(OPEN_SECONDS):  # wait_for of Python 3.11 may swallow a cancellation
                await line.client.connect()  # type: ignore[no-untyped-call]
            while down < DOWN and await lease():
                await asyncio.sleep(self._beat)
                down = 0 if await line.hears() else down + 1
        finally:
            await line.client.close()  # type: ignore[no-untyped-call]

    def _app(self) -> AsyncApp:
        """Bolt with one global middleware and no listeners: those are acknowledged before they end."""
        if self._bolt is None:
            token = self._token

            async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
                return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

            self._bolt = AsyncApp(
                name="tsunagi", logger=_SILENT, signing_secret=self._secret, authorize=authorize,
                ssl_check_enabled=False,  # it says yes before the signature is looked at
            )  # fmt: skip
            self._bolt.use(_Keep(self))
            self._bolt.error(_not_kept)
        return self._bolt

    def hear(self, payload: Mapping[str, object]) -> tuple[Inbound, ...]:
        """Make events of what Slack posted, however odd: none of what is not for us. Pure."""
        match _at(payload, "type"):
            case "event_callback":
                return tuple(_happened(payload, self._home))
            case "block_actions":
                return tuple(_taps(payload))
        return tuple(_command(payload)) if _at(payload, "command") else ()


# -- Bolt's ends


class _Keep(AsyncMiddleware):
    """Says yes when every event of a request is kept."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack

    async def async_process(self, *, req: AsyncBoltRequest, resp: BoltResponse, next: Any) -> BoltResponse:
        payload = req.context["payload"] if req.mode == "socket_mode" else _payload(req.raw_body)
        if _at(payload, "type") == "url_verification":
            return BoltResponse(status=200, body={"challenge": _at(payload, "challenge")})
        for event in self._slack.hear(payload):
            await req.context["hand"](event)
        return BoltResponse(status=200)


async def _not_kept(error: Exception) -> BoltResponse:
    log.error("slack: an event was not kept: %s", type(error).__name__)
    return BoltResponse(status=503)


class _Line(AsyncSocketModeHandler):
    """Bolt's socket; what comes over it is kept before it is acknowledged."""

    def __init__(self, app: AsyncApp, app_token: str, api_url: str, hand: Hand, ping: float) -> None:
        web = AsyncWebClient(app_token, api_url, logger=_SILENT, retry_handlers=[])
        super().__init__(app, app_token, logger=_SILENT, web_client=web, ping_interval=ping)
        self._hand = hand

    async def hears(self) -> bool:
        """Say whether the socket answers and all that reads it lives: a connection alone may be deaf (bolt #1529)."""
        client = self.client
        loops = (client.message_processor, client.message_receiver, client.current_session_monitor)
        return await client.is_connected() and not any(loop is None or loop.done() for loop in loops)

    async def handle(self, client: Any, req: SocketModeRequest) -> None:
        kept = {"hand": self._hand, "payload": req.payload}
        answer = await self.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body={}, context=kept))
        await send_async_response(client, req, answer, 0.0)


def _payload(body: str) -> Mapping[str, object]:
    """Read a body: JSON of an event, a form around the JSON of a tap, the form of a command."""
    try:
        fields: Mapping[str, object] = {} if body.startswith("{") else dict(parse_qsl(body, keep_blank_values=True))
        inner = fields.get("payload", "" if fields else body)
        found = json.loads(str(inner)) if inner else fields
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# -- what Slack says of a call


async def _told(call: Awaitable[AsyncSlackResponse]) -> Delivery:
    try:
        answer = (await call).data
    except SlackApiError as declined:
        return _declined(declined.response)
    except Exception as broken:
        return _broken(broken)
    channel, ts = _at(answer, "channel"), _at(answer, "ts")
    return Sent(f"{channel}:{ts}" if channel and ts else "")


def _broken(error: Exception) -> Delivery:
    """Before a connection stands nothing has left; afterwards nobody knows."""
    unreached = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return Later(SOON, type(error).__name__) if unreached else Unknown(type(error).__name__)


def _declined(response: Any) -> Delivery:
    # The SDK's own response, or, where the body was no JSON, aiohttp's.
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    error = _at(getattr(response, "data", None), "error")[:60]
    if status == 429 or error in SLOWER:
        return Later(_pause(response.headers), error or "ratelimited")
    if error in UNSURE or not (error or 400 <= status < 500):
        return Unknown(error or f"HTTP {status}")
    if error in REVOKED:
        return Gone("revoked", closed=True)
    return Gone(error) if GONE.fullmatch(error) else base.Refused(error or f"HTTP {status}")


def _pause(headers: Mapping[str, str]) -> timedelta:
    after = headers.get("Retry-After", "")
    return timedelta(seconds=min(int(after), 3600)) if _STAMP.fullmatch(after) else SOON


def _again(outcome: Delivery) -> Delivery:
    """An edit that may have arrived is made once more: it says the same."""
    return Later(SOON, outcome.why) if isinstance(outcome, Unknown) else outcome


# -- blocks


def _plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": escape(text.strip() or "…")}


def _marked(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _header(message: Message) -> Iterable[dict[str, object]]:
    if message.title and message.title.strip():
        yield {"type": "header", "text": _plain(message.title)}


def _section(text: str) -> Iterable[dict[str, object]]:
    if text.strip():
        yield {"type": "section", "text": _marked(mrkdwn(text.strip()))}


def _fields(facts: tuple[tuple[str, str], ...]) -> Iterable[dict[str, object]]:
    shown = [_marked(f"*{mrkdwn(label.strip() or '…')}*\n{mrkdwn(value)}") for label, value in facts]
    for i in range(0, len(shown), 10):
        yield {"type": "section", "fields": shown[i : i + 10]}


def _elements(choices: tuple[Choice, ...]) -> Iterable[dict[str, object]]:
    """Draw buttons, or one list where they are many; a choice without a token could not be pressed."""
    named = [c for c in choices if c.token]
    if len(named) > BUTTONS:
        options = [{"text": _plain(c.label), "value": c.token} for c in named[:100]]
        yield {"type": "actions", "elements": [{"type": "static_select", "action_id": "list", "options": options}]}
    elif named:
        yield {"type": "actions", "elements": [_button(i, c) for i, c in enumerate(named)]}


def _button(place: int, choice: Choice) -> dict[str, object]:
    style = {"style": choice.style} if choice.style in ("primary", "danger") else {}
    return {
        "type": "button", "action_id": f"{place}", "text": _plain(choice.label), "value": choice.token, **style,
    }  # fmt: skip


# -- events


def _at(found: object, *path: str) -> str:
    """Read a text at a path of a payload; empty where there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found.encode("utf-8", "ignore").decode().replace("\0", "") if isinstance(found, str) else ""


def _id(account: str) -> str:
    """What Slack calls an account or a conversation of ours: without the team, without what marks a Home."""
    return account.removeprefix(HOME).rpartition("/")[2]


def _installed(payload: Mapping[str, object]) -> str:
    """The workspace where we are installed; beside it others may share a channel (bolt java #629)."""
    known = payload.get("authorizations")
    own = known[0] if isinstance(known, list) and known else None
    return _at(own, "team_id") or _at(payload, "team_id")


def _happened(payload: Mapping[str, object], home: str) -> Iterable[Inbound]:
    event = payload.get("event")
    kind, user, channel = _at(event, "type"), _at(event, "user"), _at(event, "channel")
    team, ts = _installed(payload), _at(event, "ts") or _at(event, "event_ts")
    theirs = _at(event, "user_team") or _at(event, "team") or team
    who = Sender("slack", f"{team}/{user}", team)
    where, said, private = channel, "", channel.startswith("D")
    what: base.What | None = None
    if kind == "channel_id_changed":
        where, what, user = _at(event, "old_channel_id"), base.Moved(_at(event, "new_channel_id")), user or "-"
        what = what if where and what.to else None
    elif kind == "app_home_opened" and _at(event, "tab") == "home" and home:
        where, what, private = f"{HOME}{who.account}", Said(home), True
    elif kind in ("message", "app_mention") and _spoken(event):
        said = _words(_at(event, "text"))
        what = Said(said) if said or kind == "app_mention" else base.Odd("file") if _has(event, "files") else None
    if not (what and team and user and where and ts) or theirs != team:
        return
    natural = f"{team}/{where}/{ts}/{user}"
    thread = _at(event, "thread_ts") or None
    yield Inbound(
        _at(payload, "event_id") or natural,
        who,
        Address("slack", where, thread),
        what,
        natural=natural,
        private=private,
    )


def _spoken(event: object) -> bool:
    """A person's own new words: no edit, no deletion, no bot, not ourselves."""
    told = _at(event, "subtype") in ("", "file_share", "me_message", "thread_broadcast")
    return told and not any(_has(event, sign) for sign in ("bot_id", "bot_profile", "hidden", "edited"))


def _has(event: object, name: str) -> bool:
    return isinstance(event, Mapping) and bool(event.get(name))


def _taps(payload: Mapping[str, object]) -> Iterable[Inbound]:
    team, user = _at(payload, "team", "id") or _at(payload, "user", "team_id"), _at(payload, "user", "id")
    # Who shares a channel from another workspace may press too: the team is ours, the person's is not.
    if not (team and user) or (_at(payload, "user", "team_id") or team) != team:
        return
    who = Sender("slack", f"{team}/{user}", team)
    channel = _at(payload, "channel", "id") or _at(payload, "container", "channel_id")
    where = Address("slack", channel or f"{HOME}{who.account}", _at(payload, "container", "thread_ts") or None)
    private = not channel or channel.startswith("D")
    trigger = _at(payload, "trigger_id")
    found = payload.get("actions")
    for action in found if isinstance(found, list) else ():
        token = _at(action, "selected_option", "value") or _at(action, "value")
        place = "/".join((_at(payload, "container", "message_ts"), _at(action, "action_id"), _at(action, "action_ts")))
        natural = f"{team}/{channel}/{place}/{user}"
        if token:
            yield Inbound(
                trigger or natural, who, where, base.Chose(token), natural=natural, private=private,
                reply="" if private else _at(payload, "response_url"),
            )  # fmt: skip
            return


def _command(payload: Mapping[str, object]) -> Iterable[Inbound]:
    team, user, channel = _at(payload, "team_id"), _at(payload, "user_id"), _at(payload, "channel_id")
    trigger = _at(payload, "trigger_id")
    if not (team and user and channel and trigger):
        return
    who = Sender("slack", f"{team}/{user}", team)
    # Said between two people: the answer belongs to the speaker's own line with us, where we are.
    private = channel.startswith("D")
    natural = f"{team}/{channel}/{trigger}/{user}"
    yield Inbound(
        trigger, who, Address("slack", who.account if private else channel), Said(_words(_at(payload, "text"))),
        natural=natural, private=private, reply="" if private else _at(payload, "response_url"),
    )  # fmt: skip


def _words(text: str) -> str:
    """The words as they were typed: no markup, no mentions; Slack makes links of addresses and telephone numbers."""

    def bare(found: re.Match[str]) -> str:
        target, label = found[1], found[2]
        return "" if target[:1] in ("@", "!") else label or target

    return _MARKUP.sub(bare, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
