"""An authenticator app (TOTP, RFC 6238, by pyotp): the secret sealed, each step used once; and ten recovery codes on paper."""

import secrets
import unicodedata
from datetime import datetime
from typing import Final

import pyotp
from pyotp.exceptions import OTPVerificationError

from bot.enter import UNKNOWN, USED, WRONG, NotIn
from bot.sign import LETTERS, plain
from storage import seal, ways
from storage.tx import Tx

#: Steps before and after the present one that count: a clock may be half a minute off.
WINDOW: Final = 1
CODES: Final = 10
LONG: Final = 8
ISSUER: Final = "つなぎ"


def begin(tx: Tx, staff: str, at: datetime) -> str:
    """Make a secret that waits for its first digits, instead of the one that waited before; the address for the QR code."""
    secret = pyotp.random_base32()
    ways.put_app(tx, staff, tx.keys.seal_room(f"{staff} {secret}"), at)
    return pyotp.TOTP(secret, name=staff, issuer=ISSUER).provisioning_uri()


def address(tx: Tx, staff: str) -> str:
    """The address of the secret that waits; empty when none does."""
    kept = ways.app(tx, staff)
    if kept is None or kept.confirmed_at is not None:
        return ""
    return pyotp.TOTP(_secret(tx, kept), name=staff, issuer=ISSUER).provisioning_uri()


def come_in(tx: Tx, staff: str | None, typed: str, at: datetime) -> str:
    """Let this person in by the digits of their app; returns the code of the person. Raises NotIn."""
    kept = ways.app(tx, staff) if staff else None
    if staff is None or kept is None or kept.confirmed_at is None:
        raise NotIn(UNKNOWN, staff)
    _take(tx, kept, typed, at)
    return staff


def confirm(tx: Tx, staff: str, typed: str, at: datetime) -> None:
    """Begin to use the app whose first digits these are. Raises NotIn."""
    kept = ways.app(tx, staff)
    if kept is None or kept.confirmed_at is not None:
        raise NotIn(UNKNOWN, staff)
    _take(tx, kept, typed, at)


def _take(tx: Tx, kept: ways.App, typed: str, at: datetime) -> None:
    digits = "".join(c for c in unicodedata.normalize("NFKC", typed) if c.isdecimal())
    try:
        step = pyotp.TOTP(_secret(tx, kept)).verify_and_get_timecode(digits, for_time=at, valid_window=WINDOW)
    except OTPVerificationError:
        raise NotIn(WRONG, kept.staff) from None
    if not ways.take_step(tx, kept.staff, step, at):
        raise NotIn(USED, kept.staff)


def _secret(tx: Tx, kept: ways.App) -> str:
    """The secret under the seal; one that was sealed for somebody else opens nothing here."""
    whose, _, secret = tx.keys.open_room(kept.sealed).rpartition(" ")
    if whose != kept.staff:
        raise seal.WrongKey
    return secret


# Recovery codes


def make_codes(tx: Tx, staff: str, at: datetime) -> list[str]:
    """Make ten, to be printed; those before them end."""
    made = ["".join(secrets.choice(LETTERS) for _ in range(LONG)) for _ in range(CODES)]
    ways.put_recovery(tx, staff, [_hash(tx, staff, one) for one in made], at)
    return [f"{one[:4]}-{one[4:]}" for one in made]


def recover(tx: Tx, staff: str | None, typed: str, at: datetime) -> str:
    """Let this person in by a recovery code, once. Raises NotIn."""
    if staff is None or not ways.use_recovery(tx, staff, _hash(tx, staff, typed), at):
        raise NotIn(WRONG, staff)
    return staff


def is_code(typed: str) -> bool:
    """Say whether this is meant as a recovery code: it has letters."""
    return any(c.isalpha() for c in typed)


def _hash(tx: Tx, staff: str, typed: str) -> str:
    return tx.keys.fingerprint("recovery", staff, plain(unicodedata.normalize("NFKC", typed)))
