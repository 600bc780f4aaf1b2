"""Signing in: one-time codes and sessions. Only hashes are kept; a code is used once and dies young."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final, Literal

from storage import journal, people
from storage.store import Tx
from workflow.outcome import Entry

CODE_LIVES: Final = {"code": timedelta(minutes=10), "paper": timedelta(days=14)}
SESSION_LIVES: Final = timedelta(hours=12)


def hashed(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def plain(code: str) -> str:
    """What was typed: hyphens, spaces and full-width digits do not matter."""
    return "".join(c for c in code if c.isalnum()).lower()


def invite(tx: Tx, staff: str, kind: Literal["code", "paper"], by: str | None, at: datetime, surface: str) -> str:
    """Make a one-time code for a person: nine digits, ten minutes (on paper: fourteen days). `by` None: an operator."""
    code = f"{secrets.randbelow(1_000_000_000):09d}"
    people.add_invite(tx, hashed(code), staff, kind, at + CODE_LIVES[kind], by or "operator")
    journal.append_town(tx, Entry("town.invite", data={"person": staff, "kind": kind}), by, surface, at)
    return f"{code[:3]}-{code[3:6]}-{code[6:]}"


def redeem(tx: Tx, code: str, at: datetime) -> str | None:
    """Use a code up: whose it is, or None when it is unknown, used or too old."""
    found = people.use_invite(tx, hashed(plain(code)), at)
    return found.staff if found else None


def link(tx: Tx, platform: str, account: str, staff: str, at: datetime) -> None:
    """Link the account of somebody who had the code; the journal says whose and where, not which account."""
    people.link(tx, platform, account, staff, at)
    journal.append_town(tx, Entry("town.link", data={"person": staff, "platform": platform}), staff, platform, at)


def begin(tx: Tx, staff: str, at: datetime) -> str:
    """Open a session: the token goes into the cookie, its hash into the database."""
    token = secrets.token_urlsafe(32)
    people.open_session(tx, hashed(token), staff, at, at + SESSION_LIVES)
    return token


def who(tx: Tx, token: str, at: datetime) -> str | None:
    """Whose session this is."""
    found = people.session(tx, hashed(token), at) if token else None
    return found.staff if found else None


def end(tx: Tx, token: str, at: datetime) -> None:
    people.end_session(tx, hashed(token), at)
