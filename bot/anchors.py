"""The daily anchor: where the chain of a day's looks ended is written down outside the database.

A line a day in anchors.txt (day, count, hash), and the same by mail to the privacy officer where mail is set up.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.record import addresses, new_token
from storage import letters, looks, people
from storage.letters import LetterRow
from storage.looks import End
from storage.tx import Tx
from workflow.people import Role, Town

if TYPE_CHECKING:
    from datetime import datetime

    from bot.app import App

FILE: Final = "anchors.txt"
DEMO: Final = "demo-anchors.txt"  #: a demonstration begins anew, and may lie beside a town
MAIL: Final = "mail"


async def anchor(app: "App") -> int:
    """Write down every day that has ended and is not, or has grown since; answer how many.

    The file is safe before the database says so: killed in between, the next beat says the same once more.
    """

    def ended(tx: Tx) -> tuple[Path, list[End]]:
        today = app.clock.now(tx).astimezone(app.towns.of(tx).tz).date()
        return place(tx, app.anchors), looks.to_anchor(tx, today)

    path, new = await app.store.read(ended)
    if new:
        append(path, new)
        await app.store.transact(lambda tx: _note(tx, app, new))
    return len(new)


def place(tx: Tx, folder: Path) -> Path:
    """The file of this very database."""
    return folder / (FILE if people.demo_clock(tx) is None else DEMO)


def append(path: Path, new: Sequence[End]) -> None:
    """Add lines and force them to the disk; what stands there already is not said again. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = set(read(path))
    lines = "".join(f"{one.day} {one.seq} {one.head}\n" for one in new if one not in known)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[End]:
    """Read the lines of the file; none where there is no file. A line that is none is a day that cannot be right."""
    if not path.exists():
        return []
    found = [line.split() for line in path.read_text("ascii", errors="replace").splitlines() if line.strip()]
    return [
        End(one[0], int(one[1]), one[2])
        if len(one) == 3 and one[1].isascii() and one[1].isdigit()
        else End(" ".join(one)[:40], 0, "")
        for one in found
    ]


def _note(tx: Tx, app: "App", new: Sequence[End]) -> None:
    now, town = app.clock.now(tx), app.towns.of(tx)
    mine = [one for one in new if looks.anchored(tx, one, now)]
    if mine:
        letters.write(tx, [_letter(app, who, address, mine, now) for who, address in _officers(town, now)])


def _officers(town: Town, now: "datetime") -> list[tuple[str, str]]:
    """(person, mail address) of the privacy officers, where letters leave by mail."""
    today = now.astimezone(town.tz).date()
    serving = [one for one in town.staff.values() if one.has(Role.PRIVACY) and one.serves(today)]
    return [(one.code, address) for one in serving for surface, address in addresses(one, town) if surface == MAIL]


def _letter(app: "App", who: str, address: str, days: Sequence[End], now: "datetime") -> LetterRow:
    """By mail alone: in the web chat it would lie in the very database that it watches."""
    doc = {"days": [list(one) for one in days]}
    return LetterRow(
        id=app.fresh(), kind="anchor", surface=MAIL, doc=doc, created_at=now, not_before=now, to_staff=who, address=address,
        token=new_token(), cause="looks.anchor",
    )  # fmt: skip
