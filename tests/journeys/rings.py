"""What the clock has said: every ring of one kind of wait, when, to whom, and what was done with it."""

from datetime import datetime

from storage import tables
from storage.tx import Tx
from tests.town import TOKYO, Town

Ring = tuple[str, str, str]  #: local time, act, readers


def moment(at: datetime) -> str:
    return at.astimezone(TOKYO).strftime("%m-%d %H:%M")


async def rings(town: Town, kind: str) -> list[Ring]:
    """Every ring of this kind, oldest first; readers as in 「suzuki takahashi」, a room as #tomoshibi."""

    def work(tx: Tx) -> list[Ring]:
        letters = tables.letters.c
        rows = tx.execute(
            tables.letters.select().with_only_columns(letters.created_at, letters.doc, letters.to_staff, letters.to_room)
            .where(letters.kind == "ring").order_by(letters.id)
        ).all()  # fmt: skip
        found: dict[tuple[str, str], list[str]] = {}
        for at, doc, staff, room in rows:
            if doc["what"] == kind:
                found.setdefault((moment(at), doc["act"]), []).append(staff or f"#{room}")
        return [(at, act, " ".join(dict.fromkeys(readers))) for (at, act), readers in found.items()]

    return await town.app.store.read(work)


async def due(town: Town, number: str, kind: str, duty: str | None = None) -> str:
    """When the open wait of this kind is due, in local time."""
    case = await town.case(number)
    waits = [
        w
        for w in case.waits
        if w.kind == kind and (duty is None or (w.handoff and case.handoff(w.handoff).duty == duty))
    ]  # type: ignore[union-attr]
    assert waits, f"no {kind} among {[w.kind for w in case.waits]}"
    return moment(waits[0].due_at)
