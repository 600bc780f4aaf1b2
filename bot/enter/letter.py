"""Six digits and a link, sent to a person's own chat or mail address: ten minutes, one use, five tries.

The digits count only in the browser that asked for them, so that nobody can use up somebody else's tries.
"""

import secrets
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from bot.enter import OLD, WRONG, NotIn
from bot.record import addresses, new_token
from bot.sign import CARRIED, LETTERS, hashed, plain
from storage import letters, seal, ways
from storage.letters import LetterRow
from storage.tx import Tx
from workflow.people import Staff, Town

LIVES: Final = timedelta(minutes=10)
TRIES: Final = 5
#: The letter's kind.
KIND: Final = "sign_in"


def whom(town: Town, named: str) -> Staff | None:
    """Whom a code or mail address means; an address that two people share means nobody."""
    wanted = unicodedata.normalize("NFKC", named).strip().casefold()
    if not wanted:
        return None
    found = [one for one in town.staff.values() if wanted in (one.code.casefold(), one.email.casefold())]
    return found[0] if len(found) == 1 else None


def ask(tx: Tx, town: Town, named: str, place: str, fresh: Callable[[], int], at: datetime, town_at: datetime) -> str:
    """Send the letter, if there is somebody to send it to; answer what the browser brings back with the digits.

    `place`: the address of the page that the link opens. Whoever is asked for, the answer is of one shape.
    """
    handle, link = secrets.token_urlsafe(24), "".join(secrets.choice(LETTERS) for _ in range(CARRIED))
    digits = f"{secrets.randbelow(1_000_000):06d}"
    person = whom(town, named)
    staff = person.code if person else None
    doc = {"digits": _of(tx, handle, digits)}
    ways.ask(tx, hashed(handle), "letter", staff, doc, at, at + LIVES)
    ways.ask(tx, hashed(plain(link)), "link", staff, {}, at, at + LIVES)
    if person is not None:
        words = seal.shut(tx.keys, {"digits": digits, "link": f"{place}?code={link}"})
        letters.write(tx, [_letter(person.code, *to, words, fresh, town_at) for to in _to(person, town, named)])
    return handle


def _of(tx: Tx, handle: str, digits: str) -> str:
    """A keyed hash: six digits under a plain one are read off in a moment by whoever has the file."""
    return tx.keys.fingerprint("digits", handle, digits)


def _to(person: Staff, town: Town, named: str) -> list[tuple[str, str]]:
    """Who gave a mail address is written to there, others where they like to be told, and by mail as well."""
    known = list(addresses(person, town))
    mail = [one for one in known if one[0] == "mail"]
    if mail and "@" in named:
        return mail
    return list(dict.fromkeys([*known[:1], *mail]))


def _letter(staff: str, surface: str, address: str, words: str, fresh: Callable[[], int], at: datetime) -> LetterRow:
    return LetterRow(
        id=fresh(), kind=KIND, surface=surface, address=address, to_staff=staff, created_at=at, not_before=at, urgent=True,
        answer=True, token=new_token(), doc={"sealed": words}, cause="town.sign_in",
    )  # fmt: skip


def opened(tx: Tx, letter: LetterRow) -> dict[str, Any]:
    """The digits and the link of a letter that is about to leave."""
    words: dict[str, Any] = seal.opened(tx.keys, letter.doc["sealed"])
    return words


def come_in(tx: Tx, handle: str, typed: str, at: datetime) -> str:
    """Whose digits these are. Raises NotIn; the try counts either way."""
    asked = ways.count_try(tx, hashed(handle), "letter", at)
    if asked is None or asked.tries > TRIES:
        raise NotIn(OLD, asked.staff if asked else None)
    digits = "".join(c for c in unicodedata.normalize("NFKC", typed) if c.isdecimal())
    if not secrets.compare_digest(asked.doc["digits"], _of(tx, handle, digits)) or asked.staff is None:
        raise NotIn(WRONG, asked.staff)
    return _used(tx, hashed(handle), "letter", at)


def left(tx: Tx, handle: str, at: datetime) -> int:
    """How many tries are left."""
    asked = ways.peek(tx, hashed(handle), "letter", at)
    return max(0, TRIES - asked.tries) if asked else 0


def follow(tx: Tx, link: str, at: datetime) -> str:
    """Whose link this is. Raises NotIn."""
    return _used(tx, hashed(plain(link)), "link", at)


def _used(tx: Tx, name: str, kind: str, at: datetime) -> str:
    found = ways.answer(tx, name, kind, at)
    if found is None or found.staff is None:
        raise NotIn(OLD, found.staff if found else None)
    ways.spend_letters(tx, found.staff, at)
    return found.staff
