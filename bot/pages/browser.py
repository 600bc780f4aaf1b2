"""What a browser says of itself, in two words: for the list of one's own sessions, and for browsers that are inside a chat."""

from typing import Final

from starlette.requests import Request

#: In this order: many name others beside themselves (https://developer.mozilla.org/docs/Web/HTTP/Headers/User-Agent).
_BROWSERS: Final = (
    ("Line/", "LINE"), ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"), ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
_MACHINES: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("CrOS", "Chromebook"),
    ("Mac OS", "Mac"), ("Linux", "Linux"),
)  # fmt: skip
#: Windows of a chat's own, where no passkey passes: LINE, Slack, Android's WebView, Facebook and Instagram.
_IN_A_CHAT: Final = ("Line/", "Slack", "; wv)", "FBAN", "FBAV", "Instagram")


def place(request: Request) -> str:
    """Say "Chrome, Windows"; what says nothing of itself has no name."""
    said = request.headers.get("user-agent", "")
    found = [next((name for mark, name in known if mark in said), "") for known in (_BROWSERS, _MACHINES)]
    return ", ".join(name for name in found if name)


def machine(request: Request) -> str:
    """Say "Windows", for naming a passkey by its device."""
    said = request.headers.get("user-agent", "")
    return next((name for mark, name in _MACHINES if mark in said), "")


def in_a_chat(request: Request) -> bool:
    said = request.headers.get("user-agent", "")
    return any(mark in said for mark in _IN_A_CHAT)
