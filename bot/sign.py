"""Signing in: one-time codes and sessions. Only hashes are kept; a code is used once and dies young. The other ways: bot/enter/."""

import hashlib
import secrets
from collections import deque
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, Literal, NamedTuple

from storage import journal, people
from storage.people import Invite
from storage.tx import Tx
from workflow.outcome import Entry
from workflow.people import Town

CODE_LIVES: Final = {"code": timedelta(minutes=10), "paper": timedelta(days=14), "link": timedelta(minutes=10)}
#: Neither digits nor vowels: nothing to mistake for another letter, no words by chance, no case number.
LETTERS: Final = "BCDFGHJKMNPQRSTVWXYZ"
TYPED: Final = 8  #: letters that somebody types: 34 bits for ten minutes, few tries a minute
CARRIED: Final = 32  #: letters that a link carries: 138 bits
#: Tries a minute of whoever brings a code, and codes made a minute.
TRIES: Final = 5
MINUTE: Final = 60.0


class Lives(NamedTuple):
    """How long a session lasts: in all, and while nobody uses it."""

    whole: timedelta = timedelta(hours=12)
    idle: timedelta = timedelta(hours=2)


USUAL: Final = Lives()


def lives(town: Town, *, shared: bool) -> Lives:
    """The town's own times; never so short that nobody could come in at all."""

    def minutes(name: str, usual: timedelta, unit: int = 1) -> timedelta:
        return timedelta(minutes=max(1, town.limits.get(name, int(usual.total_seconds()) // 60 // unit) * unit))

    whole, idle = minutes("session_hours", USUAL.whole, 60), minutes("session_idle_minutes", USUAL.idle)
    return Lives(whole, min(idle, minutes("session_shared_minutes", timedelta(minutes=15))) if shared else idle)


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


def link_codes(tx: Tx, staff: str, at: datetime) -> tuple[str, str]:
    """Make a pair of codes by which one links an account of one's own: one to type, one for a link to carry.

    Either ends both, and so does the next pair. They open no session.
    """
    people.spend_invites(tx, staff, "link", at)
    typed, carried = ("".join(secrets.choice(LETTERS) for _ in range(n)) for n in (TYPED, CARRIED))
    for code in (typed, carried):
        people.add_invite(tx, hashed(plain(code)), staff, "link", at + CODE_LIVES["link"], staff)
    return f"{typed[:4]}-{typed[4:]}", carried


def use(tx: Tx, code: str, at: datetime, *kinds: str) -> Invite | None:
    """Use a code of one of these kinds up; None when it is unknown, used, too old or for something else."""
    name = hashed(plain(code))
    known = people.peek_invite(tx, name, at)
    found = people.use_invite(tx, name, at) if known and known.kind in kinds else None
    if found and found.kind == "link":
        people.spend_invites(tx, found.staff, "link", at)
    return found


def link(tx: Tx, found: Invite, volunteer: bool, platform: str, account: str, at: datetime) -> bool:
    """Link the account that brought an invitation; False: a volunteer's paper waits for somebody to confirm it.

    The journal says whose and where, not which account.
    """
    waits = found.kind == "paper" and volunteer
    people.link(
        tx, platform, account, found.staff, at, how="link" if found.kind == "link" else "paper" if waits else "code"
    )
    data = {"person": found.staff, "platform": platform, "holds": not waits}
    journal.append_town(tx, Entry("town.link", data=data), found.staff, platform, at)
    return not waits


def too_often(tried: dict[str, deque[float]], who: str) -> bool:
    """Count a try; say whether there were too many in the last minute. What is older is forgotten: the list stays small."""
    now = monotonic()
    for old in [one for one, tries in tried.items() if now - tries[-1] > MINUTE]:
        del tried[old]
    tries = tried.setdefault(who, deque(maxlen=TRIES + 1))
    tries.append(now)
    return len(tries) > TRIES and now - tries[0] < MINUTE


def begin(tx: Tx, staff: str, at: datetime, lasting: Lives = USUAL, way: str = "", place: str = "") -> str:
    """Open a session: the token goes into the cookie, its hash into the database."""
    token = secrets.token_urlsafe(32)
    people.open_session(tx, hashed(token), staff, at, at + lasting.whole, lasting.idle, way, place)
    return token


def came_in(tx: Tx, staff: str, way: str, town_at: datetime) -> None:
    """Write down who came in, and how."""
    journal.append_town(tx, Entry("town.sign_in", data={"person": staff, "way": way}), staff, "web", town_at)


def refused(tx: Tx, staff: str | None, way: str, why: str, town_at: datetime) -> None:
    """Write down that somebody was not let in: in whose name, when it is anybody's; never what was typed, nor from where."""
    data = {"person": staff, "way": way, "why": why}
    journal.append_town(tx, Entry("town.sign_in_refused", data=data), None, "web", town_at)


#: A browser that came in by a paper and waits; its account is the hash of its token.
BROWSER: Final = "web"


def wait(tx: Tx, found: Invite, at: datetime) -> str:
    """Keep a browser that brought a volunteer's paper: its token opens nothing before `let_in`."""
    token = secrets.token_urlsafe(32)
    link(tx, found, True, BROWSER, hashed(token), at)
    return token


def let_in(tx: Tx, account: str, staff: str, at: datetime, lasting: Lives = USUAL) -> None:
    """Open the session of a browser that waited."""
    people.unlink(tx, BROWSER, account)
    people.open_session(tx, account, staff, at, at + lasting.whole, lasting.idle, "paper")


def who(tx: Tx, token: str, at: datetime) -> str | None:
    """Whose session this is."""
    found = people.session(tx, hashed(token), at) if token else None
    return found.staff if found else None


def end(tx: Tx, token: str, at: datetime) -> None:
    people.end_session(tx, hashed(token), at)
