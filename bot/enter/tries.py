"""Wrong tries and their growing delays, as rows: every process counts the same.

Who tries from a known device has a lane of its own, so that nobody is locked out by wrong tries made elsewhere; a passkey, a code
by letter and an invitation are not in the account's lane at all.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from bot.enter.devices import Device
from storage import ways
from storage.seal import Keys
from storage.tx import Tx


class Rule(NamedTuple):
    """How many tries are free, how long the first delay is (each further doubles it), the longest, and when all is forgotten."""

    free: int
    first: timedelta
    most: timedelta
    forgets: timedelta


class Lane(NamedTuple):
    name: str
    rule: Rule
    whole: bool = True  #: a right try opens it again; somebody else's is not to open an address


_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
ADDRESS: Final = Rule(5, _MINUTE, 15 * _MINUTE, _HOUR)
DEVICE: Final = Rule(5, _MINUTE, 15 * _MINUTE, _HOUR)
#: Six digits of an app guessed from ever new addresses: two tries a day in the end.
ACCOUNT: Final = Rule(5, _MINUTE, 12 * _HOUR, timedelta(days=7))
#: Letters asked for in somebody's name.
LETTER: Final = Rule(3, _MINUTE, 4 * _HOUR, timedelta(days=1))
#: Questions that cost us a row, or the identity provider a call.
QUESTION: Final = Rule(60, _MINUTE, 5 * _MINUTE, 10 * _MINUTE)


def lanes(
    keys: Keys, address: str, device: Device | None, named: str = "", staff: str | None = None
) -> tuple[Lane, ...]:
    """In which lanes a try is: the known device's alone, else the address's and that of the account that it names.

    `named`: what somebody called themselves; `staff`: whom it means. A name of nobody has a lane like any other's.
    """
    if device is not None and (staff in device.people or not named):
        return (Lane(f"device:{device.id}", DEVICE),)
    return (*_from(keys, address), *((Lane(f"account:{_whom(keys, named, staff)}", ACCOUNT),) if named else ()))


def letter_lanes(keys: Keys, address: str, device: Device | None, named: str, staff: str | None) -> tuple[Lane, ...]:
    """The same for a letter that is asked for."""
    if device is not None and staff in device.people:
        return (Lane(f"letter-device:{device.id}", LETTER, whole=False),)
    whom = Lane(f"letter:{_whom(keys, named, staff)}", LETTER, whole=False)
    return (Lane(f"letter-address:{_hashed(keys, address)}", QUESTION, whole=False), whom)


def question_lanes(keys: Keys, address: str, device: Device | None) -> tuple[Lane, ...]:
    """The same for a question that anybody may ask."""
    name = f"question-device:{device.id}" if device else f"question:{_hashed(keys, address)}"
    return (Lane(name, QUESTION, whole=False),)


def closed_until(tx: Tx, some: Iterable[Lane], at: datetime) -> datetime | None:
    """Take hold of the lanes, always in one order; when a try may be made again, or None: now."""
    found = [ways.lane(tx, lane.name, at) for lane in sorted(some)]
    later = [one.free_at for one in found if one.free_at > at]
    return max(later, default=None)


def count(tx: Tx, some: Iterable[Lane], at: datetime) -> bool:
    """Count a try that was wrong, or a question asked; say whether a lane has closed by it."""
    closed = False
    for lane in sorted(some):
        kept, rule = ways.lane(tx, lane.name, at), lane.rule
        tries = 1 if at - kept.at > rule.forgets else kept.tries + 1
        delay = min(rule.first * 2 ** min(tries - rule.free, 20), rule.most) if tries >= rule.free else timedelta()
        ways.set_lane(tx, lane.name, ways.Lane(tries, at, at + delay))
        ways.forget_lanes(tx, at, lane.name)
        closed = closed or tries == rule.free
    return closed


def right(tx: Tx, some: Iterable[Lane], at: datetime) -> None:
    """Forget what its own person has mistyped."""
    for lane in sorted(some):
        if lane.whole:
            ways.set_lane(tx, lane.name, ways.Lane(0, at, at))


def _from(keys: Keys, address: str) -> tuple[Lane, ...]:
    return (Lane(f"address:{_hashed(keys, address)}", ADDRESS, whole=False),)


def _whom(keys: Keys, named: str, staff: str | None) -> str:
    return staff or f"?{keys.fingerprint('named', named)[:32]}"


def _hashed(keys: Keys, address: str) -> str:
    """A keyed hash of an address; of IPv6 its /64, which one household has whole."""
    try:
        whole = ip_address(address)
    except ValueError:
        return keys.fingerprint("address", address)[:32]
    part = str(ip_network(f"{whole}/64", strict=False)) if whole.version == 6 else str(whole)
    return keys.fingerprint("address", part)[:32]
