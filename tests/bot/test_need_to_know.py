"""Who may know a case: one table of people, and every surface has to say the same as it; lists in SQL as one case in words."""

import html
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest

from bot.record import new_token
from storage import cases, journal, letters, persons
from storage.cases import Filter
from storage.letters import LetterRow
from storage.tx import Tx
from tests.bot.test_pages import Browser, served, signed_in  # noqa: F401  # a fixture
from tests.databases import Databases
from tests.town import Town, settled
from workflow import number as numbers
from workflow.case import Case
from workflow.household import Person
from workflow.people import Role
from workflow.sight import EVERYTHING, Sight

State = Literal["plain", "restricted", "flagged", "barred"]
STATES: Final[tuple[State, ...]] = ("plain", "restricted", "flagged", "barred")


@dataclass(frozen=True)
class Relation:
    """What somebody is to the case, and in which of its states they may know it. `own`: it stands in their own 一覧."""

    who: str
    seen: frozenset[str]
    hidden: frozenset[str]  #: in which it is to them as if it were not there
    own: bool = False


def relation(
    who: str, plain: int, restricted: int, barred: int, *, own: bool = False, member: bool = False
) -> Relation:
    seen = {s for s, yes in zip(STATES, (plain, restricted, restricted, barred), strict=True) if yes}
    hidden = {s for s in ("restricted", "flagged") if s not in seen} | ({"barred"} if member and not barred else set())
    return Relation(who, frozenset(seen), frozenset(hidden), own)


#: The one table (domain.md §1.11): plain · restricted or flagged · with their agency (or another's) barred.
PEOPLE: Final[dict[str, Relation]] = {
    "lead": relation("suzuki", 1, 1, 1, own=True),
    "colleague of the lead": relation("saito", 0, 0, 0),
    "head of the lead's agency": relation("fujiwara", 1, 0, 1),
    "holder": relation("ishii", 1, 1, 1, own=True),
    "colleague of the holder": relation("kondo", 1, 0, 1),
    "asked": relation("mori", 1, 1, 1, own=True),
    "head of the asked agency": relation("matsumoto", 1, 1, 1, own=True),
    "opener, of a barred agency": relation("sato", 1, 0, 0, member=True),
    "head of a barred agency": relation("kimura", 0, 0, 0, member=True),
    "coordinator by name, and sender": relation("takahashi", 1, 1, 1, own=True),
    "coordinator": relation("shimizu", 1, 0, 1),
    "coordinator of a barred agency": relation("nakajima", 1, 0, 0, member=True),
    "official": relation("watanabe", 1, 0, 1),
    "official who opened it in need": relation("ogawa", 1, 1, 1),
    "head of the body": relation("aoki", 1, 0, 1),
    "staff of another agency": relation("ito", 0, 0, 0),
    "head of another agency": relation("yamada", 0, 0, 0),
    "admin": relation("endo", 0, 0, 0),
    "privacy officer": relation("matsui", 0, 0, 0),
}
LISTED: Final = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.OFFICIAL)
NAME, BORN = "花子", "1950-04-01"
#: A number with its right check digits that no case has.
NOBODYS: Final = numbers.make(999_999)


async def the_case(town: Town) -> str:
    """佐藤 took it in, 鈴木 leads, 石井 holds a role, ひばり is being asked."""
    number = await town.consented("sato")
    await town.says("takahashi", f"担当替え {number} houkatsu-kita/suzuki 異動")
    await town.says("suzuki", f"引受 {number}")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.says("ishii", f"引受 {number}")
    await town.says("suzuki", f"依頼 {number} 就労相談 ひばり")
    return number


async def bring(town: Town, number: str, state: State) -> None:
    match state:
        case "restricted":
            await town.says("takahashi", f"限定 {number} 相手方")
        case "flagged":
            await town.says("suzuki", f"保護 {number} 避難中 高橋")
        case "barred":
            await town.says("suzuki", f"除く {number} つばさ")
            await town.says("suzuki", f"除く {number} 社協")


async def told_to_all(town: Town, number: str) -> None:
    """A card in everybody's room, and the household's hash, as the form keeps it."""
    case = await town.case(number)

    def work(tx: Tx) -> None:
        known = Person(town.app.fresh(), case.household, 0, NAME, birth=BORN, added_by="suzuki", added_at=town.now)
        persons.add(tx, known)
        letters.write(tx, [
            LetterRow(
                id=town.app.fresh(), kind="urgency_raised", surface="web", doc={"urgency": "high"}, created_at=town.now, not_before=town.now,
                to_staff=one.who, case_id=case.id, token=new_token(), state="sent", sent_at=town.now,
            )
            for one in PEOPLE.values()
        ])  # fmt: skip

    await town.app.store.transact(work)


async def opened_in_need(browser: Browser, number: str) -> Any:
    return await browser.post("/cases/open", number=number, reason="danger", words="夜間に電話がありました")


@pytest.mark.parametrize("state", STATES)
async def test_every_surface_says_what_the_table_says(lite: Town, served: Any, state: State) -> None:  # noqa: F811
    number = await the_case(lite)
    await bring(lite, number, state)
    await told_to_all(lite, number)
    if state in ("restricted", "flagged"):
        assert (await opened_in_need(await signed_in(lite, served, "ogawa"), number)).status_code == 303
    wrong = []
    for name, one in PEOPLE.items():
        browser = await signed_in(lite, served, one.who)
        for surface, seen, expected in await surfaces(lite, browser, one, number, state):
            if seen != expected:
                wrong.append((name, surface, seen, expected))
    assert not wrong, "\n".join(map(str, wrong))


async def surfaces(
    town: Town, browser: Browser, one: Relation, number: str, state: State
) -> list[tuple[str, object, object]]:
    """(surface, what is there, what has to be there) for one person."""
    seen, hidden, roles = state in one.seen, state in one.hidden, {p.role for p in town.place.staff[one.who].posts}
    found: list[tuple[str, object, object]] = []
    page = await browser.get(f"/cases/{number}")
    found.append(("page", page.status_code, 200 if seen else 404))
    if not seen:
        nothing = await browser.get(f"/cases/{NOBODYS}")
        found.append(("page of nothing", plain(page.text), plain(nothing.text)))
    listed = bool(roles & set(LISTED))
    if listed:
        found.append(("list", number in (await browser.get("/cases")).text, seen))
        found.append(("search", number in plain((await browser.get(f"/cases?q={number[:6]}")).text), seen))
        found.append(("search whole", (await browser.get(f"/cases?q={number}")).status_code, 303 if seen else 200))
        found.append(("board", number in (await browser.get("/board")).text, seen))
        found.append(("doubles", await doubles(browser, number), "number" if seen else "" if hidden else "others"))
    loads = await town.app.store.read(lambda tx: cases.loads(tx, town.sight(one.who), town.now))
    found.append(("count", loads.leads.get("houkatsu-kita", 0), 0 if hidden else 1))
    found += await words(town, one, number, seen=seen, hidden=hidden)
    card = next(c for row, c in await town.reads(one.who) if row.kind == "urgency_raised")
    found.append(("card", card.number, None if hidden else number))
    return found


def plain(text: str) -> str:
    """A page without what is new at every rendering, and without the address that was asked for."""
    start = text.find("<main")
    return html.unescape(text[start : text.find("</main>")])


async def doubles(browser: Browser, number: str) -> str:
    filled = {
        "concern": "elder_care",
        "urgency": "normal",
        "district": "北部",
        "consent": "full",
        "name": NAME,
        "birth": BORN,
    }
    text = (await browser.post("/intake", step="2", **filled)).text
    assert "受け付ける" in text
    return "number" if number in text else "others" if "ほかの方が受け付けた相談" in text else ""


async def words(
    town: Town, one: Relation, number: str, *, seen: bool, hidden: bool
) -> list[tuple[str, object, object]]:
    """番号 · なぜ · 一覧. What is hidden is refused as a number that nobody has."""
    shown = await town.tries(one.who, number)
    asked = await town.tries(one.who, f"なぜ {number}")
    none = await town.tries(one.who, NOBODYS)
    mine = await town.tries(one.who, "一覧")
    no_such = "NoSuchCase"
    assert none.refused == no_such
    found: list[tuple[str, object, object]] = [
        ("番号", shown.refused, None if seen else no_such if hidden else "NotYourCase"),
        ("なぜ", asked.refused, None if seen else no_such),
        ("一覧", any(number in label for label, _ in mine.messages[0].facts), seen and one.own),
    ]
    if not seen:
        same = asked.messages[0].text.replace(number, NOBODYS) == none.messages[0].text
        found.append(("なぜ in the same words", same, True))
    if hidden:
        same = shown.messages[0].text.replace(number, NOBODYS) == none.messages[0].text
        found.append(("番号 in the same words", same, True))
    return found


# -- lists are the same as the one case


async def a_town_with_all_kinds(town: Town) -> None:
    """Cases in every state that decides who may know them, somebody away, somebody's post of two agencies."""
    numbers = {state: await the_case(town) for state in STATES}
    for state in STATES:
        await bring(town, numbers[state], state)
    interim = await town.accepted()
    await town.says("takahashi", f"仮担当 {interim}")
    secret = await town.consented("ito")
    await town.says("takahashi", f"仮担当 {secret}")
    await town.says("takahashi", f"限定 {secret} 職員の身内 清水")
    named = await town.consented("nishimura")
    await town.says("nishimura", f"依頼 {named} 家計相談 tomoshibi/kondo")
    watched = await town.supported(who="mori")
    await town.says("mori", f"依頼 {watched} 見守り 民生委員北部")
    await town.says("ishii", f"変わりなし {watched}")
    closed = await town.intake("yamada")
    await town.says("yamada", f"終結 {closed} 情報提供のみ")
    barred = await town.consented("tamura")
    await town.says("tamura", f"除く {barred} 社協")
    await town.says("takahashi", f"仮担当 {barred}")
    for who, deputy in (("takahashi", "清水"), ("suzuki", "田中"), ("kondo", "石井"), ("nakajima", "森")):
        await town.says("takahashi", f"不在 {who} 今日 から 明日 まで 代理 {deputy}")


async def test_lists_hold_what_one_case_says(database: str, tmp_path: Any) -> None:
    """I10: for everybody, what SQL lists is what `Sight` says of each case, on both databases."""
    town = await Town.found(database, tmp_path)
    await a_town_with_all_kinds(town)

    def differing(tx: Tx) -> list[tuple[str, str]]:
        place = town.app.towns.of(tx)
        every = [c for row in cases.refs(tx, EVERYTHING, closed=True) if (c := cases.load(tx, row.id, lock=False))]
        wrong = []
        for person in place.staff.values():
            sight = Sight(person, place, town.now)
            listed = {row.number for row in cases.refs(tx, sight, Filter(), closed=True)}
            said = {case.number for case in every if sight.knows(case)}
            own = {stake.case.number for stake in cases.of_staff(tx, sight)}
            wrong += [(person.code, n) for n in (listed ^ said) | (own - said)]
        return wrong

    assert await town.app.store.read(differing) == []
    await town.close()


# -- stories


async def test_a_restricted_case_still_reaches_its_own_coordinator_and_whoever_a_ladder_reaches(lite: Town) -> None:
    """The promise holds: its ladders go to the coordinator by name, then let in whom they climb to (I4, I10)."""
    number = await lite.consented()
    await lite.says("suzuki", f"限定 {number} 職員の身内 清水")
    for who in ("takahashi", "nakajima", "aoki"):
        await lite.news(who)
    await lite.later(business_days=25)
    case = await lite.case(number)
    assert any(k.startswith("ring:") for k in await lite.kinds("shimizu"))
    rung = {o.staff for o in case.openings}
    for who in ("takahashi", "nakajima", "aoki", "watanabe", "ogawa"):
        told = [
            c
            for c in await lite.news(who)
            if number in (c.text + str(c.facts)) or any(number in x.says for x in c.choices)
        ]
        knows = lite.sight(who).knows(await lite.case(number))
        assert bool(told) <= knows and knows == (who in {o.staff for o in case.openings if o.until > lite.now}), who
    assert "takahashi" not in rung and "nakajima" not in rung, "the other coordinators never hear of it"


async def test_break_glass_is_told_at_once_and_closes_by_itself(lite: Town, served: Any) -> None:  # noqa: F811
    number = await the_case(lite)
    await lite.says("takahashi", f"限定 {number} 著名")
    shimizu = await signed_in(lite, served, "shimizu")
    open_case = await the_case(lite)
    refused = [await opened_in_need(shimizu, n) for n in (NOBODYS, open_case)]
    assert [r.status_code for r in refused] == [422, 422]
    assert plain(refused[0].text).replace(NOBODYS, "") == plain(refused[1].text).replace(open_case, "")
    assert (await shimizu.post("/cases/open", number=number, reason="danger", words="")).status_code == 422
    assert (await opened_in_need(await signed_in(lite, served, "suzuki"), number)).status_code == 403
    assert (await opened_in_need(shimizu, number)).status_code == 303
    page = (await shimizu.get(f"/cases/{number}")).text
    assert (
        "緊急閲覧中(あと4時間)" in page
        and "命や体の危険" in page
        and "夜間に電話" not in page.split("書きとめたこと")[0]
    )
    for who in ("takahashi", "matsui"):
        assert number in (await lite.last(who, "case_opened")).text
    assert "case.opened_for_need" in await lite.lines(number)
    assert (await (await signed_in(lite, served, "matsui")).get(f"/cases/{number}")).status_code == 404
    assert number in (await shimizu.get("/cases")).text
    await lite.later(hours=4)
    assert (await shimizu.get(f"/cases/{number}")).status_code == 404
    assert number not in (await shimizu.get("/cases")).text
    assert (await opened_in_need(shimizu, number)).status_code == 303, "it can be opened again, with a reason again"


async def test_an_agency_of_the_other_party_is_not_asked_and_not_told_why(lite: Town) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"除く {number} ともしび")
    refused = await lite.refused("suzuki", f"依頼 {number} 家計相談 ともしび", "CannotBeAsked")
    assert refused.text == "この機関にはお願いできません。" and not refused.choices
    offered = await lite.tries("suzuki", f"依頼 {number} 家計相談")
    assert "家計改善ともしび" not in str(offered.messages)
    await lite.says("suzuki", f"一斉依頼 {number} 家計相談 ともしび 社協")
    assert [h.to_agency for h in (await lite.case(number)).handoffs] == ["shakyo"]
    await lite.says("suzuki", f"打診 {number} 家計相談")
    assert await lite.kinds("ishii") == [] and await lite.kinds("kondo") == []
    await lite.refused("suzuki", f"除く {number} 社協", "CannotBeBarred")
    await lite.refused("suzuki", f"除く {number} 重層推進室", "CannotBeBarred")
    await lite.says("suzuki", f"除く {number} ともしび 解除")
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")


async def test_a_flag_stands_on_every_card_inside_and_in_no_chat_outside(lite: Town, served: Any) -> None:  # noqa: F811
    number = await lite.consented()
    missing = await lite.tries("suzuki", f"保護 {number} 支援措置")
    assert missing.refused == "WordsMissing" and {c.label for c in missing.messages[0].choices} == {
        "高橋さん",
        "清水さん",
        "中島さん",
    }
    await lite.says("suzuki", f"保護 {number} 支援措置 高橋")
    case = await lite.case(number)
    assert case.restricted and case.overseer == "takahashi" and case.flags == ("measures",)
    asked = await lite.tries("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert "支援措置" in asked.messages[0].text and "もう一度お確かめください" in asked.messages[0].text
    await lite.tries("suzuki", "送る")
    inside = await lite.last("ishii", "offer")
    assert ("守る印", "支援措置 限定") in inside.facts
    outside = await lite.tries("suzuki", f"依頼 {number} 就労相談 ひばり", surface="slack")
    assert "支援措置" not in str(outside) and "限定" not in str(outside)
    suzuki = await signed_in(lite, served, "suzuki")
    for place in (f"/cases/{number}", "/cases", "/board"):
        assert "支援措置" in (await suzuki.get(place)).text, place
    assert "支援措置" not in plain((await suzuki.get("/handover")).text)
    await lite.says("suzuki", f"限定 {number} 解除")
    await lite.says("suzuki", f"保護 {number} 避難中")
    assert not (await lite.case(number)).restricted, "a human has lifted it apart"
    await lite.says("watanabe", f"保護 {number} 解除")
    assert (await lite.case(number)).flags == ()


async def test_a_new_episode_stays_confided(lite: Town) -> None:
    first = await lite.intake()
    await lite.says("suzuki", f"限定 {first} 相手方 高橋")
    await lite.says("suzuki", f"除く {first} ともしび")
    await lite.says("suzuki", f"終結 {first} 情報提供のみ")
    again = await lite.tries("suzuki", f"再相談 {first}")
    case: Case = await lite.case(str(again.number))
    assert (case.restricted, case.overseer, case.barred) == (True, "takahashi", ("tomoshibi",))
    assert not lite.sight("shimizu").knows(case)


async def test_small_counts_are_for_coordinators_and_officials(lite: Town) -> None:
    """1 to 4 may point at a household: a head reads 5未満, and every count of five is a count again."""
    await lite.accepted()
    said = {who: dict((await lite.says(who, "持ち件数")).facts) for who in ("fujiwara", "takahashi")}
    assert said["fujiwara"] == {"地域包括支援センター北": "主5未満 役0"}
    assert said["takahashi"]["地域包括支援センター北"] == "主1 役0"
    for _ in range(4):
        await lite.intake()
    assert dict((await lite.says("fujiwara", "持ち件数")).facts) == {"地域包括支援センター北": "主5 役0"}


async def test_what_was_let_in_is_kept_in_a_table_of_its_own(databases: Databases, tmp_path: Any) -> None:
    """Who was let in outlives the case's own memory of it; the journal's chain holds it too."""
    from sqlalchemy import select

    from storage import tables

    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path)
    number = await town.consented()
    await town.says("suzuki", f"限定 {number} その他 清水")
    await town.later(business_days=30)
    openings = select(tables.openings.c.staff, tables.openings.c.reason)
    kept = await town.app.store.read(lambda tx: [tuple(row) for row in tx.execute(openings)])
    noted = [line for line in await town.lines(number) if line == "case.let_in"]
    assert kept and len(kept) == len(noted) and {reason for _, reason in kept} == {"ring"}
    assert await town.app.store.read(
        lambda tx: list(journal.read(tx, (tx.execute(select(tables.cases.c.id)).scalar_one())))
    )
    await town.close()
    databases.drop(url)
