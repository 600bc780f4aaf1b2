"""The seam between the engine and a chat platform: words in, words out. Knows chats and buttons, not consultations."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: a token stands for `says` on the wire."""

    label: str
    says: str
    style: Literal["plain", "primary", "danger", "quiet"] = "plain"
    token: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What one reader is told. `text` stands alone: a notification, a screen reader, an altText."""

    text: str
    title: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message goes: a conversation on a platform."""

    platform: str
    conversation: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """A message we sent, to change it later."""

    address: Address
    id: str


@dataclass(frozen=True, slots=True)
class Sender:
    platform: str
    account: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody typed words."""

    text: str


@dataclass(frozen=True, slots=True)
class Chose:
    """Somebody pressed a button; `token` is a name, not a right."""

    token: str
    says: str = ""  #: the words themselves, where the surface is our own; outside the token alone travels


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event of a platform. The same `id` twice is the same event; so is the same `natural` key."""

    id: str  #: the platform's own id of the event
    sender: Sender
    address: Address
    what: Said | Chose
    natural: str = ""  #: what makes it the same act even under a new id
    language: str = ""


# What became of a letter. Values: nothing of the platform's is raised across the seam.


@dataclass(frozen=True, slots=True)
class Sent:
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Not before this long from now; it surely did not arrive."""

    after: timedelta
    why: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have arrived (time-out, reset, 5xx, killed)."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """This address will not take it; perhaps another will."""

    why: str
    moved: Address | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The platform understood and will never take this message."""

    why: str


Delivery = Sent | Later | Unknown | Gone | Refused


@dataclass(frozen=True, slots=True)
class Caps:
    """What a platform can show; `fit` degrades a message to it."""

    buttons: int
    label: int
    text: int
    edit: bool = False
    facts: int = 25


@dataclass(frozen=True, slots=True)
class Parcel:
    """One letter handed to an adapter."""

    to: Address
    message: Message
    key: str  #: the idempotency key: the same letter, the same key
    at: datetime
    extra: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class Adapter(Protocol):
    """A platform is one file with these and one line in `adapters/__init__.py`."""

    name: str
    caps: Caps
    inside: bool  #: part of the system (web chat, console): may carry content, is never counted as a push

    async def send(self, parcel: Parcel) -> Delivery: ...


@runtime_checkable
class Editor(Protocol):
    """A platform that can change a message already sent."""

    async def edit(self, ref: Ref, message: Message) -> Delivery: ...


def fit(message: Message, caps: Caps) -> Message:
    """Degrade a message to what a platform can show: fewer buttons and numbered text, bounded facts, cut text."""
    shown, listed = _split(message.choices, caps)
    lines = [message.text]
    lines += [f"{i}. {c.label}" for i, c in enumerate(listed, start=1)]
    return replace(
        message,
        text=cut("\n".join(lines), caps.text),
        facts=message.facts[: caps.facts],
        choices=tuple(replace(c, label=cut(c.label, caps.label)) for c in shown),
    )


def _split(choices: tuple[Choice, ...], caps: Caps) -> tuple[tuple[Choice, ...], tuple[Choice, ...]]:
    """All as buttons where they fit, else all numbered in the text: a digit answers either way."""
    if len(choices) <= caps.buttons and all(len(c.label) <= caps.label for c in choices):
        return choices, ()
    return (choices[: caps.buttons], choices) if caps.buttons else ((), choices)


def cut(text: str, most: int) -> str:
    """Shorten with a mark, never in the middle of nothing."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def plain(message: Message) -> Iterable[str]:
    """The lines of a message where there are no cards: console, mail."""
    if message.title:
        yield message.title
    yield from message.text.splitlines()
    for label, value in message.facts:
        yield f"{label}: {value}"
    for i, choice in enumerate(message.choices, start=1):
        yield f"  {i}. {choice.label}  〔{choice.says}〕"
