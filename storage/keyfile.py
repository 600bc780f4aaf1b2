"""The key file: one master key a line, the current one first. What is written under which is storage/seal.py's.

A line is 64 hexadecimal digits, and for every key but the very first one its mark (8 bytes, no secret), with which all that it seals
begins; `next` behind it: known, but not used yet. `fingerprint` begins the line of the hashing key, which no rotation changes: what
is found by a keyed hash could not be found any more. Whoever has had an old key file can go on guessing at hashes, and opens nothing.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
MARK_BYTES: Final = 8
HASHING: Final = "fingerprint"
NEXT: Final = "next"


class BadKeyFile(Exception):
    """The key file {path} does not hold a key of 32 bytes in hexadecimal."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The key file {path} does not hold a key of 32 bytes in hexadecimal.")


@dataclass(frozen=True, slots=True)
class Master:
    """One master key. Without a mark: the first of a town, whose sealed rows have none either."""

    secret: bytes
    mark: bytes = b""
    waits: bool = False  #: prepared: opens already, seals nothing yet

    @property
    def name(self) -> str:
        """What it may be called in a log."""
        return mark_of(self.secret).hex()


@dataclass(frozen=True, slots=True)
class Ring:
    """What a key file holds."""

    masters: tuple[Master, ...]  #: the current one first
    hashing: bytes | None = None  #: None: it is derived from the first one

    @property
    def current(self) -> Master:
        return self.masters[0]

    @property
    def prepared(self) -> Master | None:
        return next((one for one in self.masters if one.waits), None)

    @property
    def older(self) -> tuple[Master, ...]:
        """Those that were current once."""
        return tuple(one for one in self.masters[1:] if not one.waits)


def derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, b"tsunagi " + purpose, hashlib.sha256).digest()


def mark_of(secret: bytes) -> bytes:
    return derived(secret, b"mark")[:MARK_BYTES]


def read(path: Path) -> Ring:
    """Read a key file. Raises BadKeyFile or OSError."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        hashing = [_key(line[1]) for line in lines if line[0] == HASHING]
        masters = tuple(_master(line) for line in lines if line[0] != HASHING)
    except (ValueError, IndexError):
        raise BadKeyFile(path) from None
    if not masters or masters[0].waits or len(hashing) > 1:
        raise BadKeyFile(path)
    return Ring(masters, hashing[0] if hashing else None)


def make(path: Path) -> None:
    """Write a first key beside its place and link it there: nobody ever reads half a key, and of two at once one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, secrets.token_hex(KEY_BYTES) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # somebody else was first: theirs is the key
    finally:
        draft.unlink()


def prepare(path: Path) -> Ring:
    """Add a key that opens and does not seal yet; what was prepared before stays the one."""
    return _changed(
        path, lambda ring: ring if ring.prepared else replace(ring, masters=(*ring.masters, _new(waits=True)))
    )


def rotate(path: Path) -> Ring:
    """Put a new key on top: the one that was prepared, else a fresh one."""

    def turned(ring: Ring) -> Ring:
        fresh = replace(ring.prepared, waits=False) if ring.prepared else _new()
        hashing = ring.hashing or derived(ring.current.secret, HASHING.encode())
        return Ring((fresh, *(one for one in ring.masters if not one.waits)), hashing)

    return _changed(path, turned)


def retire(path: Path) -> Ring:
    """Keep the current key and one that was prepared: what lies under the others is never opened again."""
    return _changed(path, lambda ring: replace(ring, masters=tuple(o for o in ring.masters if o not in ring.older)))


def stamp(path: Path) -> tuple[int, int, int]:
    """What is another when the file was replaced."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _new(*, waits: bool = False) -> Master:
    secret = secrets.token_bytes(KEY_BYTES)
    return Master(secret, mark_of(secret), waits)


def _master(line: list[str]) -> Master:
    """Raises ValueError: no key, or not the mark of this one, as when a line was cut or changed."""
    secret, *more = line
    found = Master(_key(secret), bytes.fromhex(more[0]) if more else b"", more[1:] == [NEXT])
    if (found.mark and found.mark != mark_of(found.secret)) or more[2 if found.waits else 1 :]:
        raise ValueError
    return found


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError
    return key


def _lines(ring: Ring) -> str:
    masters = [" ".join(filter(None, (o.secret.hex(), o.mark.hex(), NEXT if o.waits else ""))) for o in ring.masters]
    hashing = [f"{HASHING} {ring.hashing.hex()}"] if ring.hashing else []
    return "\n".join((*masters, *hashing)) + "\n"


def _changed(path: Path, change: Callable[[Ring], Ring]) -> Ring:
    """Replace the file by what becomes of it: whole or not at all, on the disk when this returns."""
    with _alone(path.parent) as folder:
        before = read(path)
        if (after := change(before)) != before:
            draft = _draft(path, _lines(after))
            os.replace(draft, path)
            os.fsync(folder)
    return after


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """One command at a time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _draft(path: Path, words: str) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())
    return draft
