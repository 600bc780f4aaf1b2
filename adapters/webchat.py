"""The built-in web chat: its pages read letters straight from the database, so sending is waking the open pages."""

from collections.abc import Callable

from adapters.base import Caps, Delivery, Parcel, Sent


class WebChat:
    """Inside the system: every card is shown at once and rendered from the present state."""

    name = "web"
    inside = True
    caps = Caps(buttons=99, label=200, text=20_000, edit=True)

    def __init__(self, wake: Callable[[str], None] = lambda _conversation: None) -> None:
        self._wake = wake

    async def send(self, parcel: Parcel) -> Delivery:
        self._wake(parcel.to.conversation)
        return Sent(parcel.key)
