"""Keys and sealing: AES-GCM under one key a household, wrapped by the master key; keyed hashes for finding doubles."""

import hashlib
import hmac
import os
import secrets
import unicodedata
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class BadKeyFile(Exception):
    """The key file {path} does not hold a key of 32 bytes in hexadecimal."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The key file {path} does not hold a key of 32 bytes in hexadecimal.")


class WrongKey(Exception):
    """A sealed value does not open with this key."""

    def __init__(self) -> None:
        super().__init__("A sealed value does not open with this key.")


class Keys:
    """The master key and what is derived from it."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise ValueError("A master key has 32 bytes.")
        self._wrapping = AESGCM(_derived(master, b"wrap"))
        self._hashing = _derived(master, b"fingerprint")
        self._room = _derived(master, b"rooms")
        self._backup = _derived(master, b"backups")

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read the master key; make it (0600) when there is none. Two processes that start at once agree on one."""
        if not path.exists():
            _make(path)
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except ValueError:
            raise BadKeyFile(path) from None

    @classmethod
    def of(cls, secret: str) -> Self:
        """Derive the master key from a configured secret: the same on every machine."""
        return cls(hashlib.sha256(b"tsunagi master\0" + secret.encode()).digest())

    @property
    def for_rooms(self) -> bytes:
        """The key for words that belong to no household."""
        return self._room

    @property
    def for_backups(self) -> bytes:
        """The key of backups: who has the key file opens them, and nobody else."""
        return self._backup

    def wrap(self, key: bytes, household: int) -> bytes:
        return _sealed(self._wrapping, key, b"household %d" % household)

    def unwrap(self, wrapped: bytes, household: int) -> bytes:
        return _opened(self._wrapping, wrapped, b"household %d" % household)

    def fingerprint(self, *parts: str) -> str:
        """Hash parts with the key, whatever their width and case: equal people are found, none can be read."""
        folded = "\0".join("".join(unicodedata.normalize("NFKC", part).split()).casefold() for part in parts)
        return hmac.new(self._hashing, folded.encode(), hashlib.sha256).hexdigest()


def fingerprint(keys: Keys, *parts: str) -> str:
    return keys.fingerprint(*parts)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, words: str) -> bytes:
    return _sealed(AESGCM(key), words.encode(), b"text")


def unseal(key: bytes, sealed: bytes) -> str:
    """Open sealed words; raise WrongKey when they do not open."""
    return _opened(AESGCM(key), sealed, b"text").decode()


def digest(sealed: bytes) -> str:
    """What the journal holds of sealed words: it stays checkable when the key is destroyed."""
    return hashlib.sha256(sealed).hexdigest()


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.new(master, b"tsunagi " + purpose, hashlib.sha256).digest()


def _sealed(cipher: AESGCM, plain: bytes, about: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, about)


def _opened(cipher: AESGCM, sealed: bytes, about: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except InvalidTag:
        raise WrongKey from None


def _make(path: Path) -> None:
    """Write the key beside its place and link it there: nobody ever reads half a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # somebody else was first: theirs is the key
    finally:
        draft.unlink()
