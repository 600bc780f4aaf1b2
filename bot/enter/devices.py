"""A browser in which somebody has come in before: a signed cookie that opens nothing, and gives its people a lane of their own."""

import secrets
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from itsdangerous import BadData, URLSafeSerializer

LIVES: Final = timedelta(days=180)
#: People who share a browser, the latest last.
MOST: Final = 5


class Device(NamedTuple):
    id: str
    people: tuple[str, ...]


def read(secret: str, cookie: str, at: datetime) -> Device | None:
    """Read a cookie of ours; None for none, a forged one or an old one."""
    try:
        id_, people, made = _signer(secret).loads(cookie)
        young = at - datetime.fromisoformat(made) < LIVES
    except (BadData, ValueError, TypeError):
        return None
    return Device(str(id_), tuple(map(str, people))) if young else None


def written(secret: str, device: Device | None, staff: str, at: datetime) -> str:
    """The cookie of a browser in which this person has just come in."""
    before = device or Device(secrets.token_hex(8), ())
    known = (*(one for one in before.people if one != staff), staff)[-MOST:]
    return str(_signer(secret).dumps([before.id, list(known), at.isoformat()]))


def _signer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="known device")
