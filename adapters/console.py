"""The console platform of `tsunagi chat` and `tsunagi say`: a message becomes lines of text, or one JSON object."""

from adapters.base import Caps, Delivery, Message, Parcel, Sent, plain


class Console:
    """Inside the system, like the web chat: the answer is read from the database by whoever typed."""

    name = "console"
    inside = True
    caps = Caps(buttons=99, label=200, text=20_000)

    async def send(self, parcel: Parcel) -> Delivery:
        return Sent(parcel.key)


def lines(message: Message) -> str:
    """Write a message for a terminal, its buttons as numbered lines with the words that press them."""
    return "\n".join(plain(message))


def as_json(message: Message) -> dict[str, object]:
    """Write a message as `say --format json` promises it."""
    return {
        "text": "\n".join(filter(None, (message.title, message.text))),
        "facts": [[label, value] for label, value in message.facts],
        "choices": [{"label": c.label, "says": c.says} for c in message.choices],
    }
