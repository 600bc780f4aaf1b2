"""A platform of our own making, on a short leash: it keeps what it was handed and answers as it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapters.base import Caps, Delivery, Message, Parcel, Ref, Sent


@dataclass
class Toy:
    """Sends; cannot change what it has sent."""

    name: str = "toy"
    inside: bool = False
    caps: Caps = field(default_factory=lambda: Caps(buttons=6, label=40, text=4_000))
    sent: list[Parcel] = field(default_factory=list)
    says: Callable[[Parcel], Delivery] = lambda parcel: Sent(parcel.key)

    async def send(self, parcel: Parcel) -> Delivery:
        self.sent.append(parcel)
        return self.says(parcel)

    def to(self, conversation: str) -> list[Message]:
        return [parcel.message for parcel in self.sent if parcel.to.conversation == conversation]


@dataclass
class Slate(Toy):
    """Can be wiped and written on again."""

    name: str = "slate"
    caps: Caps = field(default_factory=lambda: Caps(buttons=6, label=40, text=4_000, edit=True))
    edits: list[tuple[Ref, Message]] = field(default_factory=list)
    edited: Callable[[Ref], Delivery] = lambda ref: Sent(ref.id)

    async def edit(self, ref: Ref, message: Message) -> Delivery:
        self.edits.append((ref, message))
        return self.edited(ref)

    def shown(self, conversation: str) -> list[Message]:
        """What lies there now."""
        now = {parcel.key: parcel.message for parcel in self.sent if parcel.to.conversation == conversation}
        return [*(now | {ref.id: message for ref, message in self.edits if ref.id in now}).values()]


def following() -> Toy:
    """Like LINE: no edit, and old buttons stay."""
    toy = Toy()
    toy.caps = replace(toy.caps, follow=True)
    return toy
