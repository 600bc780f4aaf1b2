"""A mail server on loopback (aiosmtpd) that misbehaves on command: refuses, defers, hangs or hangs up at any step."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

#: The steps at which it can be told to do something, in their order.
STEPS = (
    "GREETING",
    "EHLO",
    "AUTH",
    "MAIL",
    "RCPT",
    "DATA",
    "AFTER",
    "QUIT",
)  # AFTER: the letter is in, its answer is not


@dataclass(slots=True)
class Post:
    """What it is told to do, and what has come in."""

    port: int = 0
    says: dict[str, str] = field(default_factory=dict)  #: step → what it answers instead ("450 4.2.0 …")
    hangs: set[str] = field(default_factory=set)  #: steps at which it falls silent
    hangs_up: set[str] = field(default_factory=set)  #: steps at which the line is cut
    letters: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    knows: tuple[str, str] | None = None  #: the one user and password
    logins: list[bool] = field(default_factory=list)  #: of each sign-in: whether the line was covered by TLS
    lines: set["Line"] = field(default_factory=set)
    came: asyncio.Event = field(default_factory=asyncio.Event)  #: a letter is in
    forever: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, step: str, line: "Line") -> str | None:
        """Do what was commanded for a step; what to answer instead of yes."""
        if step in self.hangs_up:
            line.cut()
            await self.forever.wait()
        if step in self.hangs:
            await self.forever.wait()
        return self.says.get(step)

    # -- what aiosmtpd calls

    async def handle_EHLO(
        self, server: "Line", session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        instead = await self.at("EHLO", server)
        return [instead] if instead else responses

    async def handle_MAIL(
        self, server: "Line", _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if instead := await self.at("MAIL", server):
            return instead
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: "Line", _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if instead := await self.at("RCPT", server):
            return instead
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: "Line", _session: Session, envelope: Envelope) -> str:
        if instead := await self.at("DATA", server):
            return instead
        content = envelope.original_content or b""
        self.raw.append(content)
        self.letters.append(message_from_bytes(content, policy=default))  # type: ignore[arg-type]
        self.envelopes.append((envelope.mail_from or "", tuple(envelope.rcpt_tos)))
        self.came.set()
        return await self.at("AFTER", server) or "250 OK"

    async def handle_QUIT(self, server: "Line", _session: Session, _envelope: Envelope) -> str:
        return await self.at("QUIT", server) or "221 Bye"

    def authenticate(self, server: "Line", session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        self.logins.append(session.ssl is not None or server.covered)
        known = isinstance(given, LoginPassword) and (given.login.decode(), given.password.decode()) == self.knows
        return AuthResult(success=known, handled=False, message=None if known else "535 5.7.8 who are you")


class Line(SMTP):
    """One connection."""

    def __init__(self, post: Post, *, covered: bool, **options: Any) -> None:
        self._post = post
        self._greeted = False
        self.covered = covered  #: TLS from the first byte
        with warnings.catch_warnings(action="ignore"):  # it warns of a sign-in without TLS, which is what is tried here
            super().__init__(post, **options)
        post.lines.add(self)

    async def push(self, status: Any) -> None:
        if not self._greeted:
            self._greeted = True
            status = await self._post.at("GREETING", self) or status
        await super().push(status)

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.close()


@asynccontextmanager
async def served(
    *, tls: ssl.SSLContext | None = None, covered: bool = False, knows: tuple[str, str] | None = None
) -> AsyncIterator[Post]:
    """Serve on a free port. `tls` offers STARTTLS, or with `covered` begins with TLS; `knows` asks for a sign-in."""
    post = Post(knows=knows)
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"hostname": "post.example", "loop": loop, "enable_SMTPUTF8": False}
    if tls and not covered:
        options["tls_context"] = tls
    if knows:
        options |= {
            "authenticator": post.authenticate,
            "auth_required": True,
            "auth_require_tls": bool(tls) and not covered,
        }
    server = await loop.create_server(
        lambda: Line(post, covered=covered, **options), "127.0.0.1", 0, ssl=tls if covered else None
    )
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        for line in post.lines:
            line.cut()
        await server.wait_closed()
