"""What lies beside the case: journal, letters, inbox, texts, people, marks and the small ones."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from storage import (
    beats,
    capacity,
    cases,
    inbox,
    journal,
    letters,
    marks,
    people,
    persons,
    reads,
    rooms,
    seal,
    tables,
    texts,
    turns,
)
from storage.capacity import CapacityAsk
from storage.inbox import Arrival, NotKept
from storage.letters import LetterRow
from storage.people import Invite
from storage.store import Store
from storage.turns import Turn
from storage.tx import Tx
from tests.storage.small_town import AGENCIES, NINE, STAFF, a_case, opened, plan_of
from workflow.household import asked
from workflow.outcome import Act, Entry
from workflow.people import Absence

HOUR = timedelta(hours=1)
ACT: Any = Act(None, NINE, None, "web", lambda: 1)  # type: ignore[arg-type]  # the journal asks it for names only


def letter(id: int, **changes: Any) -> LetterRow:
    fields: dict[str, Any] = {
        "kind": "offer",
        "surface": "line",
        "doc": {"a": 1},
        "created_at": NINE,
        "not_before": NINE,
    } | changes
    return LetterRow(id, **fields)


async def write(store: Store, *rows: LetterRow) -> None:
    await store.transact(lambda tx: letters.write(tx, rows))


# Journal


async def written(store: Store) -> None:
    def work(tx: Tx) -> None:
        case = a_case()
        lines = journal.chain(
            case, [Entry("case.open", None, "intake", {"codes": ("a", "b")}), Entry("case.lead")], ACT, NINE
        )
        texts.open_household(tx, case.household)
        cases.insert(tx, replace(case, seq=lines[-1].seq, head=lines[-1].hash))
        journal.write(tx, lines)
        journal.append_town(tx, Entry("town.load", data={"version": 1}), None, "console", NINE)
        journal.append_town(tx, Entry("town.load", data={"version": 2}), None, "console", NINE)

    await store.transact(work)


async def test_the_chain_holds_and_anybody_can_check_an_exported_line(store: Store) -> None:
    await written(store)
    assert await store.read(lambda tx: list(journal.verify(tx))) == []
    lines = await store.read(lambda tx: journal.read(tx, 1))
    assert [(line.seq, line.kind, line.number) for line in lines] == [
        (1, "case.open", "000001"),
        (2, "case.lead", "000001"),
    ]
    assert lines[1].prev == lines[0].hash
    shown = json.loads(json.dumps(lines[0].shown()))
    assert set(shown) == {"seq", "at", "case", "kind", "actor", "surface", "from", "to", "data", "prev", "hash"}
    digest = shown.pop("hash")
    assert journal.line_hash(shown.pop("prev"), shown) == digest
    tail = await store.read(lambda tx: journal.tail(tx, lines[0].id))
    assert [line.kind for line in tail] == ["case.lead", "town.load", "town.load"]
    assert await store.read(journal.newest) == tail[-1].id


async def test_a_line_changed_behind_our_back_is_found(store: Store) -> None:
    await written(store)

    def tamper(tx: Tx) -> None:
        if tx.dialect == "sqlite":
            tx.execute(text("DROP TRIGGER journal_keeps_its_lines"))
        else:
            tx.execute(text("ALTER TABLE journal DISABLE TRIGGER ALL"))
        tx.execute(text("UPDATE journal SET actor = 'mori' WHERE case_id = 1 AND seq = 1"))
        tx.execute(text("UPDATE cases SET head = 'else'"))

    await store.transact(tamper)
    found = await store.read(lambda tx: [(b.number, b.seq, b.what) for b in journal.verify(tx)])
    assert found == [("000001", 1, "hash"), ("000001", 2, "head")]


FORGED = {
    "a word of a new line": ("UPDATE journal SET actor = 'mori' WHERE case_id = 1 AND seq = 4", [(4, "hash")]),
    "a new line's link": ("UPDATE journal SET prev = 'else' WHERE case_id = 1 AND seq = 4", [(4, "prev"), (4, "hash")]),
    "a new line is gone": ("DELETE FROM journal WHERE case_id = 1 AND seq = 4", [(5, "seq"), (5, "prev")]),
    "the line before the new ones": (
        "UPDATE journal SET actor = 'mori' WHERE case_id = 1 AND seq = 2",
        [(2, "hash")],
    ),
    "the line before them is gone": ("DELETE FROM journal WHERE case_id = 1 AND seq = 2", [(3, "seq")]),
    "the last line is gone": ("DELETE FROM journal WHERE case_id = 1 AND seq = 5", [(4, "head")]),
    "an older line, which the night's look finds": (
        "UPDATE journal SET actor = 'mori' WHERE case_id = 1 AND seq = 1",
        [],
    ),
}


@pytest.mark.parametrize("statement", FORGED, ids=str)
async def test_of_what_is_new_every_line_is_looked_at_and_the_one_before(store: Store, statement: str) -> None:
    await written(store)
    since = (await store.read(lambda tx: journal.read(tx, 1)))[-1].id

    def grown(tx: Tx) -> None:
        case = cases.load(tx, 1, lock=True)
        assert case is not None
        lines = journal.chain(case, [Entry("case.note"), Entry("case.note"), Entry("case.note")], ACT, NINE)
        journal.write(tx, lines)
        cases.save(tx, case, replace(case, seq=lines[-1].seq, head=lines[-1].hash), at=NINE)

    await store.transact(grown)
    assert await store.read(lambda tx: list(journal.verify_since(tx, [1], since))) == []
    assert await store.read(lambda tx: list(journal.verify_since(tx, [1], 0))) == []
    assert await store.read(lambda tx: list(journal.verify_since(tx, [1], since + 1_000))) == []

    def forge(tx: Tx) -> None:
        if tx.dialect == "sqlite":
            for (name,) in tx.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'journal'")
            ).all():
                tx.execute(text(f"DROP TRIGGER {name}"))
        else:
            tx.execute(text("ALTER TABLE journal DISABLE TRIGGER ALL"))
        tx.execute(text(FORGED[statement][0]))

    await store.transact(forge)
    found = await store.read(lambda tx: [(b.seq, b.what) for b in journal.verify_since(tx, [1], since)])
    assert found == FORGED[statement][1]


# Letters


async def test_a_long_queue_is_not_sorted_for_each_few_that_leave(store: Store) -> None:
    await store.transact(
        lambda tx: letters.write(
            tx, [letter(i, surface="slack", address="A", not_before=NINE + i * HOUR / 5_000) for i in range(1, 5_001)]
        )
    )
    if store.dialect == "postgresql":
        await store.transact(lambda tx: tx.execute(text("ANALYZE letters")))
    said: list[tuple[str, object]] = []

    def hear(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        said.append((statement, parameters))

    event.listen(store.engines[0], "before_cursor_execute", hear)

    def leased(tx: Tx) -> str:
        found = letters.lease(tx, NINE + HOUR / 2, {"slack": 20}, 0, 60)
        assert [one.id for one in found] == list(range(1, 21))
        statement, parameters = next(one for one in said if one[0].startswith("UPDATE letters"))
        return plan_of(tx, statement, parameters)

    shown = await store.transact(leased)
    event.remove(store.engines[0], "before_cursor_execute", hear)
    assert "ix_letters_next" in shown and "Sort" not in shown and "TEMP B-TREE" not in shown, shown


async def test_urgent_letters_go_first_and_nobody_takes_one_twice(store: Store) -> None:
    await write(store, letter(1), letter(2, urgent=True), letter(3, not_before=NINE + HOUR), letter(4, state="sent"))
    first = await store.transact(lambda tx: letters.lease(tx, NINE, {}, 10, 60))
    assert [one.id for one in first] == [2, 1]
    assert first[0] == replace(
        letter(2, urgent=True), state="leased", tries=1, lease=first[0].lease, lease_until=NINE + timedelta(minutes=1)
    )
    assert await store.transact(lambda tx: letters.lease(tx, NINE, {}, 10, 60)) == []


async def test_each_platform_takes_what_it_has_room_for(store: Store) -> None:
    names = ("slack", "slack", "slack", "line", "line", "gone")
    await write(store, *(letter(i, surface=name, urgent=i == 3) for i, name in enumerate(names, 1)))
    room = {"slack": 2, "line": 0, "telegram": 5}
    first = await store.transact(lambda tx: letters.lease(tx, NINE, room, 10, 60))
    assert [one.id for one in first] == [3, 1, 6], "urgent ones first; what is for no platform of ours is found too"
    more = await store.transact(lambda tx: letters.lease(tx, NINE, {"slack": 2, "line": 1}, 10, 60))
    assert [one.id for one in more] == [2, 4]


async def test_of_many_processes_each_letter_goes_to_one(store: Store) -> None:
    await write(store, *(letter(i) for i in range(1, 41)))
    found = await asyncio.gather(*(store.transact(lambda tx: letters.lease(tx, NINE, {}, 7, 60)) for _ in range(8)))
    ids = [one.id for group in found for one in group]
    assert len(ids) == len(set(ids)) == 40


async def test_only_the_holder_of_the_lease_finishes_a_letter(store: Store) -> None:
    await write(store, letter(1))
    one = await store.transact(lambda tx: letters.lease_one(tx, 1, NINE, 60))
    assert one and one.lease

    async def finish(lease: str, state: Any, **more: Any) -> bool:
        return await store.transact(lambda tx: letters.finish(tx, 1, lease, state=state, at=NINE, **more))

    assert not await finish("stale", "sent")
    assert await finish(one.lease, "pending", not_before=NINE + HOUR, why="429")
    assert await store.read(letters.next_due) == NINE + HOUR
    assert await store.transact(lambda tx: letters.lease_one(tx, 1, NINE, 60))
    found = await store.transact(lambda tx: letters.lost(tx, NINE + HOUR, 60, 10))
    assert [row.id for row in found] == [1]
    assert await store.transact(lambda tx: letters.finish(tx, 1, found[0].lease or "", state="unknown", at=NINE))
    assert [(row.id, row.state) for row in await store.read(letters.stuck)] == [(1, "unknown")]
    assert await store.transact(lambda tx: letters.retry(tx, 1, NINE))
    assert (await store.read(letters.waiting))[0] == 1
    assert await store.transact(lambda tx: letters.give_up(tx, 1, "left"))
    assert await store.read(lambda tx: letters.get(tx, 1).state) == "failed"  # type: ignore[union-attr]


async def test_a_person_reads_their_own_letters_their_rooms_and_nobody_elses_answers(store: Store) -> None:
    await write(
        store,
        letter(1, surface="web", to_staff="sato"),
        letter(2, surface="web", to_room="wakaba"),
        letter(3, surface="web", to_room="wakaba", answer=True, by_staff="mori"),
        letter(4, surface="web", to_room="wakaba", answer=True, by_staff="sato"),
        letter(5, surface="web", to_room="kita"),
        letter(6, surface="web", to_staff="mori", token="t6"),
    )

    async def ids(**more: Any) -> list[int]:
        return [row.id for row in await store.read(lambda tx: letters.for_person(tx, "sato", ["wakaba"], **more))]

    assert await ids() == [1, 2, 4]
    assert await ids(after=1, limit=1) == [2]
    assert await ids(limit=2, latest=True) == [2, 4]
    assert (await store.read(lambda tx: letters.by_token(tx, "t6"))).id == 6  # type: ignore[union-attr]
    assert await store.read(lambda tx: reads.unread(tx, "sato", ["wakaba"])) == {"": 1, "wakaba": 2}
    await store.transact(lambda tx: reads.seen(tx, "sato", "wakaba", 2))
    await store.transact(lambda tx: reads.seen(tx, "sato", "wakaba", 1))
    assert await store.read(lambda tx: reads.of(tx, "sato")) == {"wakaba": 2}
    assert await store.read(lambda tx: reads.unread(tx, "sato", ["wakaba"])) == {"": 1, "wakaba": 1}


async def test_a_newer_letter_takes_the_place_of_the_older_about_the_same(store: Store) -> None:
    await store.transact(opened(a_case()))
    newer = letter(3, case_id=1, handoff=7, to_staff="sato")
    older = (letter(1, case_id=1, handoff=7, to_staff="sato"), letter(2, case_id=1, handoff=7, to_staff="mori"))
    await write(store, *older, newer, letter(4, case_id=1, to_staff="sato"))
    assert await store.transact(lambda tx: letters.supersede(tx, newer)) == 1
    assert await store.transact(lambda tx: letters.stand_down(tx, 1, 7)) == 2
    sent = letter(9, to_staff="sato", state="sent", sent_at=NINE)
    await write(store, sent, replace(sent, id=10, answer=True), replace(sent, id=11, surface="web"))
    assert await store.read(lambda tx: letters.pushes_today(tx, "sato", NINE - HOUR)) == 1


# Inbox


async def test_the_same_event_is_seen_once(store: Store) -> None:
    event = Arrival("slack", "E1", "C1", "words", NINE, natural_key="C1:1", doc={"words": ["受信"]})
    town = await store.read(people.town_version)
    assert await store.transact(lambda tx: inbox.arrive(tx, 1, event)) == (1, town)
    assert await store.transact(lambda tx: inbox.arrive(tx, 2, event)) is None
    assert await store.transact(lambda tx: inbox.arrive(tx, 2, replace(event, event_id="E2"))) is None
    assert await store.transact(lambda tx: inbox.arrive(tx, 2, replace(event, platform="line", natural_key=None)))


@pytest.mark.parametrize("why", ["the event was seen", "its natural key was seen", "the town has changed"])
async def test_what_is_taken_for_new_is_kept_with_all_that_comes_of_it_or_not_at_all(store: Store, why: str) -> None:
    first = Arrival("slack", "E1", "C1", "words", NINE, natural_key="C1:1", doc={"words": ["受信"]})
    town = await store.read(people.town_version)
    await store.transact(lambda tx: inbox.keep(tx, 1, first, town))
    event = {
        "the event was seen": replace(first, natural_key="C1:2"),
        "its natural key was seen": replace(first, event_id="E2"),
        "the town has changed": replace(first, event_id="E2", natural_key="C1:2"),
    }[why]

    def work(tx: Tx) -> None:
        inbox.keep(tx, 2, event, town + (why == "the town has changed"))
        letters.write(tx, [letter(7)])

    with pytest.raises(NotKept):
        await store.transact(work)
    assert await store.read(lambda tx: letters.get(tx, 7)) is None
    assert await store.read(lambda tx: inbox.place(tx, 1)) == ("slack", "C1")
    assert await store.read(lambda tx: inbox.place(tx, 2)) is None


async def test_a_parked_event_waits_for_its_next_try(store: Store) -> None:
    event = Arrival("web", "E1", "C1", "press", NINE, speaker="sato")
    assert await store.transact(lambda tx: inbox.park(tx, 5, event, "KeyError", NINE + HOUR))
    assert not await store.transact(lambda tx: inbox.park(tx, 6, event, "KeyError", NINE + HOUR)), "seen before"
    assert await store.read(lambda tx: inbox.parked(tx, NINE)) == []
    (found,) = await store.read(inbox.parked)
    assert (found.id, found.arrival, found.tries, found.error) == (5, event, 1, "KeyError")
    assert await store.transact(lambda tx: inbox.parked_one(tx, 5)) == found
    await store.transact(lambda tx: inbox.park_again(tx, 5, "ValueError", NINE + 2 * HOUR))
    (found,) = await store.read(inbox.parked)
    assert (found.tries, found.error, found.next_at) == (2, "ValueError", NINE + 2 * HOUR)
    assert await store.read(inbox.count_parked) == 1
    assert await store.transact(lambda tx: inbox.done(tx, 5))
    assert not await store.transact(lambda tx: inbox.done(tx, 5))


# Texts


async def test_words_are_sealed_and_a_forgotten_household_cannot_be_read(store: Store) -> None:
    def put(tx: Tx) -> tuple[int, str]:
        texts.open_household(tx, 5)
        # As a form of before there were persons has left it.
        tx.execute(tables.households.update().values(hash=tx.keys.fingerprint("山田", "birth", "19500101")))
        return texts.put(tx, 5, "ねむれない", "sato", NINE)

    number, digest = await store.transact(put)
    assert await store.read(lambda tx: texts.get(tx, number)) == "ねむれない"
    sealed = await store.read(lambda tx: bytes(tx.execute(text("SELECT sealed FROM texts")).scalar_one()))
    assert "ねむれない".encode() not in sealed
    assert seal.digest(sealed) == digest
    assert await store.read(lambda tx: persons.same(tx, asked("山 田", "１９５０-01-01", ""))) == [5]
    await store.transact(lambda tx: texts.forget(tx, 5))
    assert await store.read(lambda tx: texts.get(tx, number)) is None
    assert await store.read(lambda tx: texts.get(tx, 999)) is None
    with pytest.raises(texts.Forgotten):
        await store.transact(lambda tx: texts.put(tx, 5, "x", "sato", NINE))


async def test_colleagues_words_in_a_room_are_sealed_too(store: Store) -> None:
    for i in (1, 2, 3):
        await store.transact(lambda tx, i=i: rooms.post(tx, i, "kita", "sato", f"おはよう{i}", NINE))
    assert [p.words for p in await store.read(lambda tx: rooms.posts(tx, ["kita"], 1))] == ["おはよう2", "おはよう3"]
    assert [p.id for p in await store.read(lambda tx: rooms.posts(tx, ["kita"], limit=1, latest=True))] == [3]


def test_the_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "key"
    first, again = seal.Keys.at(path), seal.Keys.at(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert again.unwrap(first.wrap(b"k" * 32, 1), 1) == b"k" * 32
    with pytest.raises(seal.WrongKey):
        again.unwrap(first.wrap(b"k" * 32, 1), 2)
    with pytest.raises(seal.WrongKey):
        seal.Keys.of("another").unwrap(first.wrap(b"k" * 32, 1), 1)
    path.write_text("nothing of the kind")
    with pytest.raises(seal.BadKeyFile):
        seal.Keys.at(path)


# People


async def test_the_town_has_a_version_and_people_who_leave_lose_their_ways_in(store: Store) -> None:
    assert await store.read(people.town_version) == 1

    def come_in(tx: Tx) -> None:
        people.link(tx, "line", "U1", "sato", NINE)
        people.open_session(tx, "s", "sato", NINE, NINE + HOUR)

    await store.transact(come_in)
    assert await store.read(lambda tx: people.linked(tx, "line", "U1")) == "sato"
    assert (await store.read(lambda tx: people.session(tx, "s", NINE))).staff == "sato"  # type: ignore[union-attr]
    linked = await store.read(people.town_version)
    assert linked > 1, "a process that holds the town in memory reads it again when an account is linked"
    rest = [p for p in STAFF if p.code != "sato"]
    await store.transact(lambda tx: people.put_town(tx, {"n": 2}, AGENCIES, rest, "watanabe", code="1", name="n"))
    assert await store.read(people.town_doc) == ({"n": 2}, linked + 1)
    assert await store.read(lambda tx: people.linked(tx, "line", "U1")) is None
    assert await store.read(lambda tx: people.session(tx, "s", NINE)) is None
    assert await store.transact(lambda tx: people.unlink(tx, "line", "U1"))


async def test_an_absence_counts_until_it_ends_or_is_cancelled(store: Store) -> None:
    away = Absence("suzuki", NINE, NINE + HOUR, "tanaka")
    number = await store.transact(lambda tx: people.add_absence(tx, away, "tanaka", NINE))
    assert await store.read(lambda tx: people.absences(tx, NINE)) == (away,)
    assert await store.read(lambda tx: people.absences(tx, NINE + HOUR)) == ()
    assert await store.transact(lambda tx: people.cancel_absence(tx, number, NINE))
    assert not await store.transact(lambda tx: people.cancel_absence(tx, number, NINE))
    assert await store.read(lambda tx: people.absences(tx, NINE)) == ()


async def test_an_invite_is_used_once_and_in_time(store: Store) -> None:
    await store.transact(lambda tx: people.add_invite(tx, "h", "sato", "code", NINE + HOUR, "mori"))
    assert await store.transact(lambda tx: people.use_invite(tx, "h", NINE + 2 * HOUR)) is None
    assert await store.read(lambda tx: people.peek_invite(tx, "h", NINE)) == Invite("sato", "code")
    used = await asyncio.gather(*(store.transact(lambda tx: people.use_invite(tx, "h", NINE)) for _ in range(5)))
    assert [one for one in used if one] == [Invite("sato", "code")]


async def test_a_session_lives_longer_by_use_and_ends_everywhere(store: Store) -> None:
    for name in ("a", "b"):
        await store.transact(
            lambda tx, name=name: people.open_session(tx, name, "sato", NINE, NINE + 2 * HOUR, HOUR, "code", "Edge")
        )
    await store.transact(lambda tx: people.touch_session(tx, "a", NINE + HOUR / 2))
    (left,) = await store.read(lambda tx: people.sessions_of(tx, "sato", NINE + HOUR))
    assert (left.hash, left.way, left.place) == ("a", "code", "Edge")
    assert await store.read(lambda tx: people.session(tx, "b", NINE + HOUR)) is None, "nobody has used it for an hour"
    await store.transact(lambda tx: people.touch_session(tx, "a", NINE + HOUR * 1.4))
    assert await store.read(lambda tx: people.session(tx, "a", NINE + 2 * HOUR)) is None, "however much it is used"
    assert await store.transact(lambda tx: people.end_session(tx, "b", NINE))
    assert await store.transact(lambda tx: people.end_sessions(tx, "sato", NINE)) == 1
    assert await store.read(lambda tx: people.session(tx, "a", NINE)) is None


async def test_only_a_demonstration_has_a_clock_to_turn(store: Store) -> None:
    assert await store.read(people.demo_clock) is None
    assert not await store.transact(lambda tx: people.set_demo_clock(tx, NINE, NINE))
    await store.transact(lambda tx: people.mark_demo(tx, NINE, NINE + HOUR))
    await store.transact(lambda tx: people.mark_demo(tx, NINE + HOUR, NINE))
    assert await store.read(people.demo_clock) == (NINE, NINE + HOUR)
    assert await store.transact(lambda tx: people.set_demo_clock(tx, NINE + HOUR, NINE + HOUR))


# The small ones


async def test_a_mark_means_one_open_case_and_is_free_after_its_close(store: Store) -> None:
    words = ("あじさい", "つばめ")
    for i in range(1, 6):
        await store.transact(opened(a_case(i)))

    async def mark(case: int, reader: str = "sato") -> str:
        return await store.transact(lambda tx: marks.mark_for(tx, reader, case, words))

    given = {case: await mark(case) for case in range(1, 6)}
    assert len(set(given.values())) == 5
    assert {given[1], given[2]} == set(words)
    assert given[3] in ("あじさいとつばめ", "つばめとあじさい")
    assert await mark(1) == given[1]
    assert await store.read(lambda tx: marks.case_for_mark(tx, "sato", " " + given[2].replace("つばめ", "ツバメ"))) == 2
    assert await store.read(lambda tx: marks.case_for_mark(tx, "mori", given[2])) is None
    await store.transact(lambda tx: marks.release(tx, 1))
    assert await store.read(lambda tx: marks.case_for_mark(tx, "sato", given[1])) is None
    assert (await store.read(lambda tx: marks.words_of(tx, "sato")))[1] == given[1]
    await store.transact(opened(a_case(6)))
    assert await mark(6) == given[1]
    assert await mark(1) != given[1], "a case opened again has another word when its own is taken"


async def test_two_marks_chosen_at_once_differ(store: Store) -> None:
    for i in range(1, 7):
        await store.transact(opened(a_case(i)))
    give = (store.transact(lambda tx, i=i: marks.mark_for(tx, "sato", i, ("あじさい", "つばめ"))) for i in range(1, 7))
    assert len(set(await asyncio.gather(*give))) == 6


async def test_what_was_laid_before_a_person_is_replaced_and_cleared(store: Store) -> None:
    turn = Turn("sato", "web", NINE, preview={"says": "依頼"}, choices=["a", "b"])
    await store.transact(lambda tx: turns.keep(tx, turn))
    assert await store.read(lambda tx: turns.of(tx, "sato")) == turn
    await store.transact(lambda tx: turns.keep(tx, replace(turn, preview=None, undo=[1])))
    assert await store.read(lambda tx: turns.of(tx, "sato")) == replace(turn, preview=None, undo=[1])
    await store.transact(lambda tx: turns.clear(tx, "sato"))
    assert await store.read(lambda tx: turns.of(tx, "sato")) is None


async def test_the_newest_answer_about_room_counts(store: Store) -> None:
    asks = [CapacityAsk(i, None, "work", "北部", "normal", "wakaba", NINE, "mori") for i in (1, 2)]
    await store.transact(lambda tx: capacity.ask(tx, asks))
    assert len(await store.read(lambda tx: capacity.unanswered(tx, ["wakaba"]))) == 2
    assert await store.transact(lambda tx: capacity.answer(tx, 1, "some", "sato", NINE))
    assert await store.transact(lambda tx: capacity.answer(tx, 2, "none", "sato", NINE + HOUR))
    assert not await store.transact(lambda tx: capacity.answer(tx, 2, "some", "sato", NINE))
    newest = await store.read(capacity.newest)
    assert {key: one.answer for key, one in newest.items()} == {("work", "wakaba"): "none"}


async def test_a_lease_is_renewed_by_its_holder_and_taken_when_it_has_run_out(store: Store) -> None:
    async def take(who: str, now: Any) -> bool:
        return await store.transact(lambda tx: beats.take(tx, "telegram", who, now, now + HOUR))

    assert await take("a", NINE)
    assert not await take("b", NINE)
    assert await take("a", NINE + HOUR / 2)
    assert await take("b", NINE + 2 * HOUR)
    await store.transact(lambda tx: beats.let_go(tx, "telegram", "b"))
    assert await take("a", NINE)


async def test_a_case_somebody_is_at_is_skipped(store: Store) -> None:
    await store.transact(opened(a_case()))
    await store.transact(opened(a_case(2)))
    url, beside = store.url.render_as_string(hide_password=False), ThreadPoolExecutor(1)

    async def skipping() -> bool:
        other = Store(url.replace("+asyncpg", ""), keys=store.keys)
        found = await other.transact(lambda tx: cases.load_free(tx, [1, 2]))
        await other.close()
        return [case.id for case in found] == [2]

    def at_it(tx: Tx) -> bool:
        cases.load(tx, 1, lock=True)
        # SQLite lets one process write at a time: there nobody comes to skip.
        return tx.dialect == "sqlite" or beside.submit(asyncio.run, skipping()).result(20)

    assert await store.transact(at_it)
    assert not await skipping()
