"""書きとめたこと: what is known of a case, each piece with the basis that allows it, for whoever may see it now; write one, share one otherwise."""

from collections.abc import Iterable
from typing import Any, Final

from bot.intake import TOLD
from bot.pages.forms import Form, one_of, option, options, several, text_of, ticked
from bot.pages.frame import Desk, View, at
from bot.record import record
from storage import agreements, conferences, items, persons, texts
from storage.items import Seen, Shelf
from storage.journal import Line
from storage.tx import Tx
from workflow import basis as decisions
from workflow import refusals as no
from workflow.basis import SOURCES, Basis, Relation
from workflow.case import Case
from workflow.consent import KINDS
from workflow.outcome import Outcome

LONGEST: Final = 2000
#: On a page nothing enters a conference.
CHOSEN: Final = tuple(one for one in Basis if one is not Basis.ART106_6)


def member_of(tx: Tx, found: Desk) -> frozenset[int]:
    """The conferences where the reader has pledged secrecy."""
    return conferences.of_member(tx, found.reader.code)


def shelf(tx: Tx, found: Desk, one: Case) -> Shelf:
    """What the reader may see now, judged in the transaction that reads it."""
    return items.shelf(tx, found.reader, one, found.town, found.app.clock.now(tx), member_of(tx, found))


def view(tx: Tx, found: Desk, one: Case, found_there: Shelf) -> View:
    """The pieces with their chips, and how many are held back, told only to who may know of them."""
    names = {p.id: p.name or found.t("{n}人め", n=p.ordinal) for p in persons.of_households(tx, (one.household,))}
    held = [
        found.voice.label("why_not", why) + " " + found.t("{n}件", n=n) for why, n in sorted(found_there.held.items())
    ]
    return {"rows": [_row(tx, found, one, seen, names) for seen in found_there.shown], "held": held}


def _row(tx: Tx, found: Desk, one: Case, seen: Seen, names: dict[int, str]) -> View:
    item, voice = seen.item, found.voice
    chips = [voice.label("item_basis", seen.basis)]
    if item.agencies is not None:
        chips.append(voice.join([voice.agency(a) for a in item.agencies]))
    edits = one.open and _may_share(tx, found, one, seen)
    return {
        "id": f"item-{item.id}", "at": at(found, item.at), "by": voice.person(item.by), "words": seen.words, "chips": chips,
        "kind": voice.label("item_kind", item.kind), "source": voice.label("item_source", item.source),
        "whom": names.get(item.person, "") if item.person else found.t("世帯"),
        "edit": f"/households/{one.number}?do=basis&item={item.id}#form" if edits else "",
        "was": [voice.label("item_basis", str(w["basis"])) for w in item.was],
        "closed": seen.basis is Basis.ART106_6,  # what a 支援会議 has heard goes on no paper
    }  # fmt: skip


def _may_share(tx: Tx, found: Desk, one: Case, seen: Seen) -> bool:
    mine = decisions.relations(seen.item, found.reader, one, member_of(tx, found), found.town, found.now)
    return seen.item.case == one.id and bool(mine & {Relation.LEAD, Relation.COORDINATOR, Relation.WRITER})


# -- writing one


def blank(tx: Tx, found: Desk, one: Case, given: dict[str, Any]) -> Form:
    """The form of a new piece."""
    t, voice = found.t, found.voice
    whom = [option("", t("世帯のこと"), not given.get("whom"))]
    whom += [
        option(str(p.id), p.name or t("{n}人め", n=p.ordinal), given.get("whom") == str(p.id))
        for p in persons.of_households(tx, (one.household,)) if p.removed_at is None
    ]  # fmt: skip
    form = Form("item", t("書きとめる"), t("書きとめる"))
    form.area(
        "words",
        t("内容"),
        given.get("words", ""),
        hint=t("封をして保管します。事実と意見、聞いた話を分けて書きます。2,000字まで。"),
        must=True,
    )
    form.select("kind", t("種類"), options(voice, "item_kind", KINDS, given.get("kind", "fact")))
    form.select("whom", t("どなたのこと"), whom)
    form.select("source", t("どなたから"), options(voice, "item_source", SOURCES, given.get("source", "person")))
    form.radio("basis", t("共有できる理由"), options(voice, "item_basis", CHOSEN, given.get("basis", "consent")))
    _agencies(found, form, given)
    return form


def _agencies(found: Desk, form: Form, given: dict[str, Any]) -> None:
    chosen = given.get("agencies", ())
    listed = [option(a, found.voice.agency(a), a in chosen) for a in found.town.agencies]
    form.check("agencies", found.t("共有する機関"), listed, hint=found.t("選ばなければ、この相談に関わる機関です。"))


def read_blank(found: Desk, form: Any) -> dict[str, Any]:
    return {
        "words": text_of(form, "words"), "kind": one_of(form, "kind", KINDS), "whom": text_of(form, "whom"),
        "source": one_of(form, "source", SOURCES), "basis": one_of(form, "basis", CHOSEN),
        "agencies": ticked(form, "agencies", found.town.agencies),
    }  # fmt: skip


def wrong(found: Desk, given: dict[str, Any]) -> dict[str, str]:
    """What is missing of a new piece."""
    errors = {}
    if not given["words"]:
        errors["words"] = found.t("内容を書いてください")
    elif len(given["words"]) > LONGEST:
        errors["words"] = several(found, found.t("内容"), LONGEST, len(given["words"]))
    if not given["basis"]:
        errors["basis"] = found.t("共有できる理由を選んでください")
    return errors


def write(tx: Tx, found: Desk, one: Case, given: dict[str, Any]) -> None:
    """Seal a piece under the household's key and say in the journal that there is one."""
    me = found.reader.code
    person = next((p.id for p in persons.of_households(tx, (one.household,)) if str(p.id) == given["whom"]), None)
    text, digest = texts.put(tx, one.household, given["words"], me, found.now)
    item = items.add(
        tx, one.household, one.id, given["kind"] or "fact", text, given["basis"], me, found.now, person=person,
        agencies=given["agencies"] or None, source=given["source"] or "other",
    )  # fmt: skip
    record(tx, Outcome(one, found.act).note(TOLD, text=text, digest=digest, item=item).done())


# -- another basis


def basis_form(tx: Tx, found: Desk, one: Case, item: str, given: dict[str, Any]) -> Form | None:
    """The form that shares one piece for another reason, with the piece above it; None: not for this reader."""
    seen = next((s for s in shelf(tx, found, one).shown if str(s.item.id) == item), None)
    if seen is None or not _may_share(tx, found, one, seen):
        return None
    form = Form("basis", found.t("共有できる理由を見直す"), found.t("見直す"), [("item", item)], seen.words)
    chosen = given.get("basis", seen.item.basis)
    form.radio("basis", found.t("共有できる理由"), options(found.voice, "item_basis", CHOSEN, chosen))
    _agencies(found, form, given or {"agencies": seen.item.agencies or ()})
    return form


def share(tx: Tx, found: Desk, one: Case, item: str, given: dict[str, Any]) -> None:
    """Share one piece for another reason: judged, kept with what it was, journalled. Raises a Refusal."""
    mine, now = member_of(tx, found), found.app.clock.now(tx)
    asked = next((i for i in items.of_case(tx, one.id) if str(i.id) == item), None)
    if asked is None:
        raise no.ItemNotYours()
    made = decisions.reclassify(
        asked, given["basis"], given["agencies"] or None, found.reader, one, agreements.of_case(tx, one.id), mine, found.town, now
    )  # fmt: skip
    if not items.reclassify(tx, asked.id, made.basis, found.reader.code, now, made.agencies):
        raise no.SomebodyElseActed()
    record(tx, Outcome(one, found.act).note("item.reclassified", asked.basis, made.basis.value, item=asked.id).done())


def told_before(one: Case, lines: Iterable[Line]) -> list[int]:
    """Sealed texts of the case that are no items: warning signs, reasons of an offer, and the forms of before there were items."""
    kinds = (TOLD, "case.signs")
    found = [
        line.data["text"] for line in lines if line.kind in kinds and "item" not in line.data and "text" in line.data
    ]
    return [int(str(id_)) for id_ in (*found, *(h.text for h in one.handoffs)) if id_ is not None]
