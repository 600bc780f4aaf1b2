"""The seam between the engine and a chat platform: words in, words out. Knows chats and buttons, not consultations."""

import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable


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
    #: The same once more, a card each, for who shows them side by side; their choices in a row are `choices`. Not in the
    #: repr, of which a face is made: the words' own face stays what it was.
    cards: tuple["Message", ...] = field(default=(), repr=False)


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
class Linking:
    """Somebody brought a one-time code that says who they are (/start CODE, a LINE account link)."""

    code: str


@dataclass(frozen=True, slots=True)
class Reachable:
    """An account can be written to from now on (follow, unblock, /start), or cannot any more (unfollow, block)."""

    yes: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """The conversation of the event's address has another id from now on."""

    to: str


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that carries no words: a sticker, an image, a voice message. It gets one polite sentence."""

    kind: str


What: TypeAlias = Said | Chose | Linking | Reachable | Moved | Odd


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event of a platform. The same `id` twice is the same event; so is the same `natural` key."""

    id: str  #: the platform's own id of the event
    sender: Sender
    address: Address
    what: What
    natural: str = ""  #: what makes it the same act even under a new id
    language: str = ""
    private: bool = True  #: one to one: only there does an answer with content or a decision belong
    reply: str = ""  #: what an answer to this event has to carry (LINE's reply token, Telegram's callback query)
    at: datetime | None = None  #: when it happened there, where that may be told out of order


@dataclass(frozen=True, slots=True)
class Hook:
    """What a platform posted to /hooks/…: header names in lower case, the body as it came."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """What the platform is answered."""

    status: int = 200
    body: bytes = b""
    media: str = "text/plain"


#: 401, no row, no reply: the signature or secret of a hook is missing, wrong or too old.
FORGED = Ack(401)


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
    closed: bool = False  #: nor will any other on this platform: quota spent, token revoked


@dataclass(frozen=True, slots=True)
class Refused:
    """The platform understood and will never take this message."""

    why: str


Delivery = Sent | Later | Unknown | Gone | Refused


def utf16(text: str) -> int:
    """Length as Telegram and LINE count it."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True, slots=True)
class Cards:
    """How many cards a platform shows side by side, and what one of them takes."""

    most: int
    buttons: int
    text: int  #: of one card, counted as in Caps; a last one that says the rest has the room of a whole message
    facts: int = 8


@dataclass(frozen=True, slots=True)
class Caps:
    """What a platform can show; `fit` degrades a message to it. Lengths are in the unit that `size` counts."""

    buttons: int
    label: int
    text: int  #: of title, text, facts and numbered choices together
    edit: bool = False
    follow: bool = False  #: it cannot edit, and an old card's buttons stay: a new message says what has become of it
    gap: Callable[[str], float] = lambda _conversation: 1.0  #: seconds between two messages of a conversation
    second: int = 0  #: messages a second to all of them; 0: as many as there are
    #: For how long the same letter under the same key does no harm. Zero: there is no key, and what may have arrived never goes
    #: again by itself.
    again: timedelta = timedelta()
    facts: int = 25
    size: Callable[[str], int] = len
    cards: Cards | None = None  #: None: what leaves together is one text


@dataclass(frozen=True, slots=True)
class Parcel:
    """One letter handed to an adapter."""

    to: Address
    message: Message
    key: str  #: the idempotency key, a UUID: the same letter, the same key
    at: datetime
    reply: str = ""  #: of the event that this answers; empty: nobody is waiting in this moment
    only: str = ""  #: in a shared conversation, the account that alone should see it, where the platform can


@runtime_checkable
class Adapter(Protocol):
    """A platform is one file with these and one line in `adapters/__init__.py`."""

    name: str
    caps: Caps
    inside: bool  #: part of the system (web chat, console): may carry content, is never counted as a push

    async def send(self, parcel: Parcel) -> Delivery:
        """Send one message that `fit` has made fit. Nothing of the platform's is raised."""


@runtime_checkable
class Outside(Adapter, Protocol):
    """A platform of somebody else's; `made(variables)`, a class method, makes it from the environment."""

    def render(self, message: Message) -> dict[str, Any]:
        """Make the platform's own payload of a message, without its address. Pure."""

    def missing(self) -> tuple[str, ...]:
        """Say in words what its settings lack; nothing is called."""

    async def close(self) -> None:
        """Let go of its connections."""


#: Commits an event; returns when it is kept.
Hand: TypeAlias = Callable[[Inbound], Awaitable[None]]
#: True while this process is the one that listens.
Lease: TypeAlias = Callable[[], Awaitable[bool]]


@runtime_checkable
class Hooked(Protocol):
    """A platform that posts to /hooks/NAME."""

    async def take(self, hook: Hook, hand: Hand) -> Ack:
        """Verify a hook, hand on each of its events, and only then say yes. What `hand` raises becomes no yes."""

    async def heed(self, event: Inbound) -> None:
        """What a tap wants at once, after the commit (a spinner to stop). Failures are logged, never raised."""


@runtime_checkable
class Listening(Protocol):
    """A platform that has to be asked (polling), or keeps a line open (a socket)."""

    async def listen(self, hand: Hand, lease: Lease) -> None:
        """Until cancelled, hand on every event; nothing is acknowledged before it is kept."""


@runtime_checkable
class Editor(Protocol):
    """A platform that can change a message already sent."""

    async def edit(self, ref: Ref, message: Message) -> Delivery:
        """Change it; Sent too when nothing had to be changed, Gone when it is not there any more."""


@runtime_checkable
class DeepLinked(Protocol):
    """A platform with an address that opens a chat with us and brings a code along."""

    def link(self, code: str) -> str:
        """Make it for one code of letters; empty while the platform has not told our name."""


def together(cards: Sequence[Message], title: str | None = None) -> Message:
    """Say several messages in one, which carries them as cards too."""
    choices = tuple(choice for card in cards for choice in card.choices)
    return Message("\n\n".join(card.text for card in cards), title, choices=choices, cards=tuple(cards))


def fit(message: Message, caps: Caps) -> Message:
    """Degrade a message to what a platform can show: fewer buttons and numbered text, bounded facts, cut text, fewer cards."""
    return replace(_fit(message, caps), cards=_cards(message.cards, caps))


def _cards(cards: tuple[Message, ...], caps: Caps) -> tuple[Message, ...]:
    """As many as stand side by side; of more the last says all the rest. A number is the same choice's as in one text."""
    if caps.cards is None:
        return ()
    most, one = caps.cards.most, replace(caps, buttons=caps.cards.buttons, text=caps.cards.text, facts=caps.cards.facts)
    own, rest = (cards, ()) if len(cards) <= most else (cards[: most - 1], cards[most - 1 :])
    firsts = list(accumulate((len(card.choices) for card in own), initial=1))
    shown = tuple(_fit(card, one, first) for card, first in zip(own, firsts, strict=False))
    return (*shown, _fit(together(rest), replace(one, text=caps.text), firsts[-1])) if rest else shown


def _fit(message: Message, caps: Caps, first: int = 1) -> Message:
    """Degrade one text, one card; its choices are numbered from `first`."""
    shown, listed = _split(message.choices, caps)
    title = cut(message.title, caps.text // 20, caps.size) if message.title else message.title
    room = caps.text - caps.size(title or "") - 2
    facts = _facts(message.facts[: caps.facts], room // 2, caps)
    room -= sum(caps.size(a) + caps.size(b) + 4 for a, b in facts)
    numbered = "".join(f"\n{i}. {cut(c.label, 60, caps.size)}" for i, c in enumerate(listed, start=first))
    numbered = cut(numbered, room // 2, caps.size)
    text = cut(message.text, max(1, room - caps.size(numbered)), caps.size)
    choices = tuple(replace(c, label=cut(c.label, caps.label, caps.size)) for c in shown)
    return replace(message, title=title, text=text + numbered, facts=facts, choices=choices, cards=())


def _split(choices: tuple[Choice, ...], caps: Caps) -> tuple[tuple[Choice, ...], tuple[Choice, ...]]:
    """All as buttons where they fit, else all numbered in the text: a digit answers either way."""
    if len(choices) <= caps.buttons and all(caps.size(c.label) <= caps.label for c in choices):
        return choices, ()
    return (choices[: caps.buttons], choices) if caps.buttons else ((), choices)


def _facts(facts: tuple[tuple[str, str], ...], room: int, caps: Caps) -> tuple[tuple[str, str], ...]:
    """As many as there is room for, each a line or two."""
    kept: list[tuple[str, str]] = []
    for label, value in facts:
        label, value = cut(label, 40, caps.size), cut(value, 300, caps.size)
        room -= caps.size(label) + caps.size(value) + 4
        if room < 0:
            break
        kept.append((label, value))
    return tuple(kept)


def cut(text: str, most: int, size: Callable[[str], int] = len) -> str:
    """Shorten to `most` of the unit with a mark, never in the middle of a letter and what belongs to it."""
    if size(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= most - size("…") else (low, middle - 1)
    while low and low < len(text) and _belongs(text[low], text[low - 1]):
        low -= 1
    return text[:low] + "…" if most > 0 else ""


def _belongs(letter: str, before: str) -> bool:
    """Say whether a letter is a part of the one before: an accent, a skin tone, what a joiner joins."""
    joiner = "\u200d"
    tone = "\U0001f3fb" <= letter <= "\U0001f3ff"
    return joiner in (letter, before) or tone or bool(unicodedata.combining(letter)) or "\ufe00" <= letter <= "\ufe0f"


def plain(message: Message) -> Iterable[str]:
    """The lines of a message where there are no cards: console, mail."""
    if message.title:
        yield message.title
    yield from message.text.splitlines()
    for label, value in message.facts:
        yield f"{label}: {value}"
    for i, choice in enumerate(message.choices, start=1):
        yield f"  {i}. {choice.label}  〔{choice.says}〕"
