"""Mail: a message becomes plain text, each button a line with its one-time link. Nothing comes in this way."""

import asyncio
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from adapters.base import Caps, Delivery, Gone, Later, Message, Parcel, Refused, Sent, Unknown

log = logging.getLogger(__name__)

PORTS: Final = {"smtp": 587, "smtps": 465}
#: Before a server that is away, full or busy is asked again.
SOON: Final = timedelta(minutes=5)
#: Before a server that does not know us is asked again: somebody has to mend a password first.
MENDED: Final = timedelta(minutes=15)
#: Seconds for one answer of the server, and for all of them: a letter's lease lasts longer.
ANSWER: Final = 20.0
ALL: Final = 45.0
#: What a subject may name: a number of three, three and two digits. Everything else stays in the body.
NUMBER: Final = re.compile(r"(?<![\d-])\d{3}-\d{3}-\d{2}(?![\d-])")
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,253}")
_KEY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
#: They turn the order of a line round, so that a link would look like another.
_TURNING: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in."""

    host: str
    port: int
    tls: bool  #: from the first byte (smtps); else STARTTLS when it is offered
    user: str | None
    password: str | None

    @property
    def loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def start_tls(self) -> bool | None:
        """True: never go on without. A password is not told to a stranger who hides that TLS is on offer."""
        if self.tls:
            return False
        return True if self.user and not self.loopback else None


class Mail:
    """The platform of those without chat, and the fallback of every other."""

    name = "mail"
    inside = False
    caps = Caps(buttons=99, label=200, text=20_000)

    @classmethod
    def made(cls, given: Mapping[str, str]) -> "Mail":
        """Make it from the environment's variables (without TSUNAGI_)."""
        return cls(given.get("SMTP_URL", ""), given.get("MAIL_FROM", ""), given.get("BASE_URL", ""))

    def __init__(
        self, url: str, sender: str, links: str, *, brand: str = "つなぎ", asks: str = "返事待ち", tells: str = "お知らせ",
        others: str = "ほか{n}件", answer: float = ANSWER, whole: float = ALL,
    ) -> None:  # fmt: skip
        """Take smtp://user:pass@host:587 or smtps://…, MAIL_FROM, and our own address, under which /go/TOKEN lies.

        `brand`, `asks`, `tells` and `others` are the only words of a subject; `answer` and `whole` are seconds.
        """
        self._server = server_of(url)
        self._name, self._sender = parseaddr(sender)
        self._links = links.rstrip("/")
        self._host = urlsplit(self._links).hostname or ""
        self._brand, self._asks, self._tells, self._others = brand, asks, tells, others
        self._answer, self._whole = answer, whole

    def missing(self) -> tuple[str, ...]:
        found = []
        if self._server is None:
            found.append("TSUNAGI_SMTP_URL: smtp://user:password@host:587, or smtps://…")
        if not is_mailbox(self._sender):
            found.append("TSUNAGI_MAIL_FROM: the address that mail comes from")
        if not (self._links.startswith(("http://", "https://")) and _HOST.fullmatch(self._host)):
            found.append("TSUNAGI_BASE_URL: where the links of a mail lead")
        return tuple(found)

    # -- words

    def render(self, message: Message) -> dict[str, Any]:
        return {"subject": self._subject(message), "text": "\n".join(self._lines(message)) + "\n"}

    def _subject(self, message: Message) -> str:
        """Put together from our own words and numbers alone: it stands on locked screens and in the logs of servers."""
        facts = (part for fact in message.facts for part in fact)
        numbers = list(dict.fromkeys(NUMBER.findall("\n".join((message.title or "", message.text, *facts)))))
        parts = [f"{self._brand}:", self._asks if message.choices else self._tells, *numbers[:1]]
        if len(numbers) > 1:
            parts.append(self._others.replace("{n}", str(len(numbers) - 1)))
        return " ".join(parts)

    def _lines(self, message: Message) -> Iterator[str]:
        """What is told needs no link; a link stands at the end of its line, so that readers make it one."""
        if message.title:
            yield from (_one_line(message.title), "")
        yield from (_clean(line) for line in message.text.splitlines())
        if message.facts:
            yield ""
        for label, value in message.facts:
            yield f"{_one_line(label)}: {_one_line(value)}"
        if message.choices:
            yield ""
        for choice in message.choices:
            yield f"{_one_line(choice.label)}: {self._links}{f'/go/{choice.token}' if choice.token else '/'}"

    def _letter(self, to: str, parcel: Parcel) -> EmailMessage:
        shown = self.render(parcel.message)
        letter = EmailMessage(policy=WIRE)
        letter["From"] = Mailbox(_one_line(self._name), addr_spec=self._sender)
        letter["To"] = Mailbox(addr_spec=to)
        letter["Subject"] = shown["subject"]
        letter["Date"] = format_datetime(parcel.at)
        letter["Message-ID"] = f"<{parcel.key}@{self._sender.rpartition('@')[2]}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter["X-Auto-Response-Suppress"] = "All"  # Exchange and Outlook do not read the line above
        # In base64 no line is too long for a server, begins with a dot or changes on its way.
        letter.set_content(shown["text"], cte="base64")
        return letter

    # -- the wire

    async def send(self, parcel: Parcel) -> Delivery:
        """A connection each: mail is rare here, and a line that somebody else has closed is nobody's trouble."""
        to = parcel.to.conversation
        if self._server is None or self.missing():
            return Later(MENDED, "settings")
        if not is_mailbox(to):
            return Gone("address")
        if not _KEY.fullmatch(parcel.key):
            return Refused("key")
        letter = self._letter(to, parcel)
        client = _client(self._server, self._host, self._answer)
        handed = False  # from here on it may have arrived
        try:
            async with asyncio.timeout(self._whole):
                await client.connect()
                await client.mail(self._sender)
                await client.rcpt(to)
                handed = True
                await client.data(letter.as_bytes())
        except SMTPResponseException as said:
            return _answered(said, handed)
        except (SMTPException, OSError, ValueError) as broken:
            why = type(broken).__name__
            log.warning("mail: no answer from the server: %s", why)
            return Unknown(why) if handed else Later(SOON, why)
        else:
            await _bye(client)
            return Sent(parcel.key)
        finally:
            client.close()

    async def close(self) -> None:
        """Nothing is kept open."""


def server_of(url: str) -> Server | None:
    """Read an address as TSUNAGI_SMTP_URL has it; None when it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or not host.isprintable():
        return None
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Server(host, port or PORTS[parts.scheme], parts.scheme == "smtps", user, password)


def is_mailbox(address: str) -> bool:
    """Say whether this is one plain address: nothing in it ends a line or begins another recipient."""
    local, _, domain = address.rpartition("@")
    dots = local.startswith(".") or local.endswith(".") or ".." in address
    return bool(_MAILBOX.fullmatch(address)) and not dots and bool(domain)


def _client(server: Server, ours: str, seconds: float) -> SMTP:
    """Make a client that has called nobody yet. It says our public name, not what this machine is called at home."""
    return SMTP(
        hostname=server.host, port=server.port, username=server.user, password=server.password, timeout=seconds,
        use_tls=server.tls, start_tls=server.start_tls, local_hostname=ours,
    )  # fmt: skip


def _answered(said: SMTPResponseException, handed: bool) -> Delivery:
    """What the server has said in a number; its words may name people, so they are not kept."""
    why = str(said.code)
    if isinstance(said, SMTPAuthenticationError):
        log.error("mail: the server does not know us (%s): look at TSUNAGI_SMTP_URL", why)
        return Later(MENDED, "auth")
    if not 400 <= said.code < 600:  # an answer that is none, or one to another question
        return Unknown(why) if handed else Later(SOON, why)
    if said.code < 500:
        return Later(SOON, why)
    if isinstance(said, SMTPRecipientRefused):
        return Gone(why)
    if isinstance(said, SMTPSenderRefused | SMTPDataError):
        return Refused(why)
    return Later(MENDED, why)  # a greeting's 5xx is about the server or us: nothing was handed over


async def _bye(client: SMTP) -> None:
    """The letter is in: whether the server says goodbye changes nothing."""
    with suppress(SMTPException, OSError):
        await client.quit(timeout=1)


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def _clean(text: str) -> str:
    """Without control characters, without what turns the order round, without half letters."""
    whole = _TURNING.sub("", text).encode("utf-8", "replace").decode()
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in whole)
