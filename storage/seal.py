"""Keys and sealing: AES-GCM under one key a household, wrapped by a master key; keyed hashes for finding doubles.

What a master has sealed begins with its mark, but for the first one's of a town, and opens while that master is in the key file
(storage/keyfile.py). A process that meets what it cannot open reads the file again, and looks before it seals whether it has changed.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage import keyfile
from storage.keyfile import HASHING, KEY_BYTES, BadKeyFile, Master, Ring, derived

__all__ = ["BadKeyFile", "Keys", "WrongKey", "digest", "fingerprint", "new_key", "seal", "unseal"]

log = logging.getLogger(__name__)

NONCE_BYTES: Final = 12


class WrongKey(Exception):
    """A sealed value does not open with this key."""

    def __init__(self) -> None:
        super().__init__("A sealed value does not open with this key.")


@dataclass(frozen=True, slots=True)
class _Derived:
    """A master key as it is used."""

    mark: bytes
    wrapping: AESGCM
    room: AESGCM
    backup: bytes

    @classmethod
    def of(cls, master: Master) -> Self:
        wrapping, room, backup = (derived(master.secret, purpose) for purpose in (b"wrap", b"rooms", b"backups"))
        return cls(master.mark, AESGCM(wrapping), AESGCM(room), backup)


class Keys:
    """The master keys and what is derived from them. Any thread may use them."""

    def __init__(self, masters: bytes | Ring, path: Path | None = None) -> None:
        ring = Ring((Master(masters),)) if isinstance(masters, bytes) else masters
        if any(len(one.secret) != KEY_BYTES for one in ring.masters):
            raise ValueError("A master key has 32 bytes.")
        self.path = path  #: None: they come from no file, and stay
        self._stamp: object = None
        self._told = False
        self._known: tuple[_Derived, ...] = ()  #: the current one first; a key once seen opens till the process ends
        self._take(ring)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read the key file; make it (0600) when there is none. Two processes that start at once agree on one."""
        if not path.exists():
            keyfile.make(path)
        seen = keyfile.stamp(path)
        found = cls(keyfile.read(path), path)
        found._stamp = seen
        return found

    @classmethod
    def of(cls, secret: str) -> Self:
        """Derive the master key from a configured secret: the same on every machine.

        It has no file and no mark, so it cannot be rotated: another secret opens nothing of what this one has sealed.
        """
        return cls(hashlib.sha256(b"tsunagi master\0" + secret.encode()).digest())

    def _take(self, ring: Ring) -> None:
        fresh = tuple(_Derived.of(one) for one in ring.masters)
        self._ring = ring
        self._hashing = ring.hashing or derived(ring.current.secret, HASHING.encode())
        self._backups = tuple(one.backup for one in fresh)
        backups = set(self._backups)
        # In one assignment: other threads open with what was known before or with all of it.
        self._known = (*fresh, *(one for one in self._known if one.backup not in backups))

    @property
    def ring(self) -> Ring:
        return self._ring

    @property
    def mark(self) -> bytes:
        """What begins all that is sealed now; empty: nothing, for the first key of a town."""
        return self._ring.current.mark

    def look_again(self) -> bool:
        """Read the key file again if it is another one; say whether it was."""
        if self.path is None:
            return False
        try:
            if (seen := keyfile.stamp(self.path)) == self._stamp:
                return False
            self._take(keyfile.read(self.path))
            self._stamp, self._told = seen, False
        except (OSError, BadKeyFile) as wrong:
            if not self._told:  # once, until it can be read again
                log.error("the key file cannot be read; what is known goes on: %s", wrong)
            self._told = True
            return False
        return True

    @property
    def for_backups(self) -> bytes:
        """The key of backups: who has the key file opens them, and nobody else."""
        self.look_again()
        return self._backups[0]

    @property
    def of_backups(self) -> tuple[bytes, ...]:
        """The keys that a backup may be under."""
        self.look_again()
        return self._backups

    def wrap(self, key: bytes, household: int) -> bytes:
        return self._seal("wrapping", key, b"household %d" % household)

    def unwrap(self, wrapped: bytes, household: int) -> bytes:
        """Open a household's key. Raises WrongKey."""
        return self._open("wrapping", wrapped, b"household %d" % household)

    def seal_room(self, words: str) -> bytes:
        """Seal words that belong to no household."""
        return self._seal("room", words.encode(), b"text")

    def open_room(self, sealed: bytes) -> str:
        """Open words that belong to no household. Raises WrongKey."""
        return self._open("room", sealed, b"text").decode()

    def fingerprint(self, *parts: str) -> str:
        """Hash parts with the key, whatever their width and case: equal people are found, none can be read."""
        folded = "\0".join("".join(unicodedata.normalize("NFKC", part).split()).casefold() for part in parts)
        return hmac.new(self._hashing, folded.encode(), hashlib.sha256).hexdigest()

    def _seal(self, which: str, plain: bytes, about: bytes) -> bytes:
        self.look_again()  # under a key that is about to be retired nothing is written any more
        one = self._known[0]
        return one.mark + _sealed(getattr(one, which), plain, about)

    def _open(self, which: str, sealed: bytes, about: bytes) -> bytes:
        while True:
            for one in self._known:
                if sealed.startswith(one.mark):
                    try:
                        return _opened(getattr(one, which), sealed[len(one.mark) :], about)
                    except WrongKey:
                        continue  # a first key has no mark: any value may be its own
            if not self.look_again():
                raise WrongKey


def fingerprint(keys: Keys, *parts: str) -> str:
    return keys.fingerprint(*parts)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, words: str, about: bytes = b"text") -> bytes:
    """Seal words; what they are `about` is bound to them, so that they open nowhere else."""
    return _sealed(AESGCM(key), words.encode(), about)


def unseal(key: bytes, sealed: bytes, about: bytes = b"text") -> str:
    """Open sealed words; raise WrongKey when they do not open."""
    return _opened(AESGCM(key), sealed, about).decode()


def shut(keys: Keys, value: Any) -> str:
    """Seal what JSON can hold, for a place that keeps text."""
    return base64.b64encode(keys.seal_room(orjson.dumps(value).decode())).decode()


def opened(keys: Keys, sealed: str) -> Any:
    """Open what was shut; raise WrongKey when it does not open."""
    return orjson.loads(keys.open_room(base64.b64decode(sealed)))


def digest(sealed: bytes) -> str:
    """What the journal holds of sealed words: it stays checkable when the key is destroyed."""
    return hashlib.sha256(sealed).hexdigest()


def _sealed(cipher: AESGCM, plain: bytes, about: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, about)


def _opened(cipher: AESGCM, sealed: bytes, about: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError):  # too short to be one of ours, too
        raise WrongKey from None
