"""Every sentence there must be, in both languages, and the cards in each state of a handoff."""

import inspect
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from adapters.base import Choice
from bot.commands import BOOK
from bot.pages.help import MEANING
from bot.town import build, read
from bot.voice import LANGUAGES, Voice, en, fields, ja, voice_for
from bot.voice.buttons import WIDEST, WORDS, width
from bot.voice.cards import PRESSES, TURNS, Card, card, did_key
from bot.voice.echo import shown as echoed
from bot.voice.refusals import word
from bot.voice.scene import Scene
from bot.words import match, take_apart
from workflow import checkin, facts, refusals, stage
from workflow import handoff as decisions
from workflow.case import Case, Handoff, Wait
from workflow.ladder import DEFAULTS, Urgency
from workflow.outcome import Act, Outcome
from workflow.path import EVENTS, GRAPHS, HANDOFF_STATES, ISSUE_STATES, STAGES
from workflow.people import Role, Town
from workflow.ring import ring

ROOT = Path(__file__).parents[2]
TOWN = build(read((ROOT / "bot/demo/nagare.toml").read_text("utf-8")), version=1)
MONDAY = datetime(2026, 6, 8, 1, 0, tzinfo=UTC)  # 10:00 in the town
BOTH = pytest.mark.parametrize("lang", ["ja", "en"])
FORBIDDEN = re.compile(
    r"拒否|失敗|エラー|不正|処理|放置|困難ケース|たらい回し|丸投げ|ごみ屋敷|問題行動|タスク|ステータス|!|！|[\U0001F300-\U0001FAFF]"
)
REFUSALS = [
    c
    for _n, c in inspect.getmembers(refusals, inspect.isclass)
    if issubclass(c, refusals.Refusal) and c is not refusals.Refusal
]


def source(folder: str) -> str:
    return "\n".join(p.read_text("utf-8") for p in sorted((ROOT / folder).rglob("*.py")))


def told() -> set[str]:
    """Every notice kind: what workflow tells, with the kinds that are put together, and the bot's own."""
    text = source("workflow") + source("bot/commands")
    kinds = set(re.findall(r"tell\(\s*\"([a-z_]+)\"", text)) | set(re.findall(r"Notice\(\s*\"([a-z_]+)\"", text))
    made = set(re.findall(r"(?:tell|Notice)\(\s*f\"([^\"]+)\"", text))
    assert made <= {"{moved.state}_told", "{kind}_wanted"}, "a kind that this test does not know how to put together"
    kinds |= {f"{state}_told" for state in ("completed", "failed", "released")}
    kinds |= {f"{kind}_wanted" for kind in ("talk", "phone", "concern")}
    # `"assigned" if … else "proxy_told"` is no literal behind tell(.
    return (kinds - {"ring"}) | {"assigned", "proxy_told"}


def written() -> set[str]:
    """Every kind of journal entry."""
    text = source("workflow")
    kinds = set(re.findall(r"note\(\s*\"([a-z_.]+)\"", text))
    kinds |= {f"{graph}.{event}" for graph in GRAPHS for event in EVENTS[graph]}
    kinds |= {f"checkin.{contact}" for contact in ("calm", "worry", "seen", "missed")}
    return kinds | {f"request.{kind}" for kind in ("talk", "phone", "concern", "safety", "conference")}


# -- sentences


def test_both_languages_have_the_same_keys_and_places() -> None:
    assert ja.SENTENCES.keys() == en.SENTENCES.keys()
    # English leaves the number out of "month"; everything else says what Japanese says.
    differing = {
        k for k in ja.SENTENCES if fields(ja.SENTENCES[k]) != fields(en.SENTENCES[k]) and not k.endswith(".one")
    }
    assert differing == set()
    assert ja.UI.keys() == en.UI.keys()
    for kind, labels in ja.LABELS.items():
        assert labels.keys() <= en.LABELS[kind].keys(), kind


@pytest.mark.parametrize("book", [ja, en], ids=["ja", "en"])
def test_no_sentence_blames_shouts_or_hides(book: object) -> None:
    said = [*book.SENTENCES.values(), *book.UI.values(), *(x for kind in book.LABELS.values() for x in kind.values())]  # type: ignore[attr-defined]
    assert [s for s in said if FORBIDDEN.search(s)] == []
    assert [k for k, s in book.SENTENCES.items() if not s.strip()] == []  # type: ignore[attr-defined]
    assert [s for s in said if re.search(r"[０-９（）]", s)] == []


@BOTH
def test_every_notice_has_a_title_and_a_sentence(lang: str) -> None:
    sentences = LANGUAGES[lang][0]
    shared = {"talk_wanted", "phone_wanted"}
    assert {k for k in told() if f"card.{k}.title" not in sentences or f"card.{k}" not in sentences} == set()
    assert shared <= told()


@BOTH
def test_every_wait_has_a_label_a_title_and_its_two_sentences(lang: str) -> None:
    sentences, labels, _ui = LANGUAGES[lang]
    for kind in (*DEFAULTS, "phone"):
        assert kind in labels["wait"], kind
        assert {f"ring.{kind}", f"ring.{kind}.title", f"ring.{kind}.tell"} <= sentences.keys(), kind


@BOTH
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda c: c.__name__)
def test_every_refusal_is_worded(refusal: type[refusals.Refusal], lang: str) -> None:
    assert f"refusal.{refusal.__name__}" in LANGUAGES[lang][0]
    message = word(refusal(), Voice(TOWN, lang), MONDAY, number="385-267-52")
    assert message.text
    assert "refusal." not in message.text


@BOTH
def test_every_guard_every_deed_and_every_line_has_its_sentence(lang: str) -> None:
    sentences, labels, _ui = LANGUAGES[lang]
    assert {g for edges in GRAPHS.values() for e in edges for g in e.guards if f"fact.{g}" not in sentences} == set()
    assert {g for g in stage.GUARDS if f"fact.{g}" not in sentences} == set()
    assert {k for k in written() if f"line.{k}" not in sentences} == set()
    assert {name for name in BOOK if f"did.{name}" not in sentences} == set()
    assert {c.who for c in BOOK.values()} <= labels["who"].keys()
    assert {e for graph in EVENTS for e in EVENTS[graph]} <= labels["event"].keys()
    assert set(STAGES) <= labels["stage"].keys()
    assert set(HANDOFF_STATES) <= labels["handoff_state"].keys()
    assert set(ISSUE_STATES) <= labels["issue_status"].keys()
    assert {r.value for r in Role} <= labels["role"].keys()
    assert {a for edges in GRAPHS.values() for e in edges for a in e.actors} <= labels["relation"].keys()
    assert {r for p in DEFAULTS.values() for rung in (*p.rungs, *p.emergency_rungs) for r in rung.to} <= labels[
        "relation"
    ].keys()
    assert set(facts.BASES) <= labels["basis"].keys()
    assert set(facts.CONSENTS) <= labels["consent"].keys()


def test_every_sentence_that_the_bot_says_is_there() -> None:
    text = source("bot")
    said = set(re.findall(r"\.say\(\s*\"([^\"]+)\"", text)) | set(re.findall(r"told\(\s*\"([^\"]+)\"", text))
    assert {key for key in said if key not in ja.SENTENCES} == set()
    asked = set(re.findall(r"what=\"([a-z_]+)\"", text + source("workflow")))
    known = {key.removeprefix("missing.") for key in ja.SENTENCES if key.startswith("missing.")}
    assert {w for w in asked if w not in known and f"refusal.WordsMissing.{w}" not in ja.SENTENCES} == set()


def test_every_word_of_the_pages_is_known_in_both_languages() -> None:
    pages = "\n".join(p.read_text("utf-8") for p in (ROOT / "bot/pages/templates").rglob("*.html"))
    used = {a or b for a, b in re.findall(r"\bt\((?:\"([^\"]+)\"|'([^']+)')\)", pages)}
    assert {u for u in used if u not in ja.UI} == set()


def test_a_card_knows_every_place_of_its_sentences() -> None:
    case, handoff, _wait = offered()
    words = Scene("proxy_told", {}, case, handoff, None, None, None, TOWN, MONDAY, Voice(TOWN), "あじさい").words
    given = {
        "by", "person", "holder", "lead", "until", "due", "at", "recheck", "previous", "source", "span", "what", "answer", "means", "request",
        "start", "end", "deputy", "n", "count", "agency", "basis", "platform", "people", "candidates", "district", "reason", "day", "whose", "opened",
    }  # fmt: skip
    places = {
        p
        for k, s in ja.SENTENCES.items()
        if k.split(".")[0] in ("card", "ring", "band", "row", "who", "silence")
        for p in fields(s)
    }
    assert places <= words.keys() | given


def test_buttons_fit_a_phone() -> None:
    for book in (ja, en):
        wide = [k for k, s in book.SENTENCES.items() if k.startswith("button.") and "{" not in s and width(s) > WIDEST]
        assert wide == []


def test_a_missing_place_or_key_never_raises() -> None:
    voice = Voice(TOWN)
    assert voice.say("card.offer", case="385-267-52").startswith("385-267-52 について")
    assert voice.say("no.such.key") == "no.such.key"
    assert voice.label("wait", "no_such_kind") == "no_such_kind"


def test_a_town_rewords_a_sentence_and_reaches_into_nothing() -> None:
    own = replace(TOWN, sentences={"ja": {"list.none": "からっぽです。", "person": "{name.__class__}様{name}"}})
    assert Voice(own).say("list.none") == "からっぽです。"
    assert Voice(own).say("person", name="鈴木") == "様鈴木"
    assert Voice(own, "en").say("list.none") == en.SENTENCES["list.none"]


def test_town_labels_win_in_the_towns_language() -> None:
    own = replace(TOWN, stages={**TOWN.stages, "support": "伴走"})
    assert Voice(own).label("stage", "support") == "伴走"
    assert Voice(own, "en").label("stage", "support") == "Support"
    assert Voice(own).label("duty", "work") == "就労相談"
    assert Voice(own).label("notice", "offer") == "つなぎの依頼"


# -- days, waits, names


def test_days_carry_their_weekday_and_the_year_only_when_it_differs() -> None:
    ja_, en_ = Voice(TOWN), Voice(TOWN, "en")
    thursday = datetime(2026, 6, 11, 6, 0, tzinfo=UTC)
    assert ja_.day(thursday, MONDAY) == "6/11(木)"
    assert ja_.moment(thursday, MONDAY) == "6/11(木) 15:00"
    assert ja_.title_day(thursday) == "6月11日(木)"
    assert en_.moment(thursday, MONDAY) == "Thu 11 Jun 15:00"
    assert ja_.day(datetime(2027, 1, 4, 0, 0, tzinfo=UTC), MONDAY) == "2027/1/4(月)"
    assert en_.title_day(datetime(2027, 1, 4, 0, 0, tzinfo=UTC), MONDAY) == "Monday 4 January 2027"


@pytest.mark.parametrize(
    ("due", "kind", "text", "english"),
    [
        (timedelta(days=7), "calm", "6/15(月)まで", "by Mon 15 Jun"),
        (timedelta(hours=3), "soon", "あと3時間", "3 h left"),
        (timedelta(minutes=20), "soon", "あと20分", "20 min left"),
        (timedelta(0), "late", "いま期限です", "due now"),
        (timedelta(minutes=-20), "late", "20分超過", "20 min over"),
        (timedelta(days=-3), "late", "2日超過", "2 days over"),
    ],
)
def test_a_wait_says_a_day_from_afar_hours_when_near_and_how_late(
    due: timedelta, kind: str, text: str, english: str
) -> None:
    hours = TOWN.agencies["houkatsu-kita"].hours
    left = Voice(TOWN).left(MONDAY + due, MONDAY, hours)
    assert (left.kind, left.text) == (kind, text)
    assert Voice(TOWN, "en").left(MONDAY + due, MONDAY, hours).text == english


def test_a_wait_is_calm_until_half_of_its_time_is_gone() -> None:
    hours, opened = TOWN.agencies["houkatsu-kita"].hours, MONDAY
    due = hours.add_days(opened, 2)
    assert Voice(TOWN).left(due, opened, hours, opened=opened).kind == "calm"
    assert Voice(TOWN).left(due, hours.add_days(opened, 1), hours, opened=opened).kind == "soon"


def test_names_take_san_and_volunteers_have_none_outside() -> None:
    assert Voice(TOWN).person("suzuki") == "鈴木さん"
    assert Voice(TOWN, "en").person("suzuki") == "Suzuki"
    assert Voice(TOWN).person("yamamoto") == "山本さん"
    outside = voice_for(TOWN, "ja", outside=True)
    assert outside.person("yamamoto") == "見守り協力者の方"
    discreet = next(a for a in TOWN.agencies.values() if a.discreet)
    assert outside.agency(discreet.code) == "関係機関"
    assert outside.label("decline", "safety") == "理由はWebで"
    assert voice_for(TOWN, "ja") is voice_for(TOWN, "ja")


def test_one_month_is_a_month() -> None:
    assert Voice(TOWN).span("1mo") == "1か月"
    assert Voice(TOWN).span("14d") == "2週間"
    assert Voice(TOWN, "en").span("1mo") == "month"
    assert Voice(TOWN, "en").span("3mo") == "3 months"


# -- cards

_ids = itertools.count(100)


def act(who: str | None, at: datetime = MONDAY) -> Act:
    speaker = TOWN.staff[who] if who else None
    return Act(speaker, at, TOWN, "web", lambda: next(_ids), speaker.agency if speaker else "")


def opened() -> Case:
    bare = Case(1, "385-267-52", 1, "intake", Urgency.NORMAL, MONDAY, "suzuki", "houkatsu-kita", district="北部")
    case = stage.open_case(bare, ("job_search", "income"), act("suzuki")).case
    return facts.consent(case, "full", (), act("suzuki")).case


def newest(case: Case) -> Handoff:
    return case.handoffs[-1]


def offered(duty: str = "work", agency: str = "tsubasa", **more: str) -> tuple[Case, Handoff, Wait]:
    case = decisions.offer(opened(), TOWN.duties[duty], [TOWN.agencies[agency]], act("suzuki"), **more).case  # type: ignore[arg-type]
    handoff = newest(case)
    wait = case.wait("react", handoff.id)
    assert wait is not None
    return case, handoff, wait


def shown(
    case: Case, kind: str = "offer", *, reader: str | None = "sato", room: str | None = None, wait: Wait | None = None, lang: str = "ja",
    now: datetime = MONDAY, outside: bool = False, **data: object,
) -> Card:  # fmt: skip
    handoff = newest(case) if case.handoffs else None
    return card(
        kind, data, case, handoff, wait, reader=TOWN.staff[reader] if reader else None, room=room, town=TOWN, at=now,
        voice=voice_for(TOWN, lang, outside=outside), mark="あじさい",
    )  # fmt: skip


def in_state(state: str) -> Case:
    """A case whose one handoff has come to this state."""
    case, h, _wait = offered()
    sato, suzuki, coordinator = act("sato"), act("suzuki"), act("takahashi")
    match state:
        case "considering":
            return decisions.consider(case, h, None, sato).case
        case "info_requested":
            return decisions.ask(case, h, "wish", sato).case
        case "waitlisted":
            return decisions.waitlist(case, h, None, sato).case
        case "conditional":
            return decisions.accept_if(case, h, "accompany", sato).case
        case "declined":
            return decisions.decline(case, h, "at_capacity", sato).case
        case "withdrawn":
            return decisions.withdraw(case, h, suzuki).case
        case "mistake":
            return decisions.mistake(case, h, suzuki).case
        case "expired":
            out = Outcome(case, act(None))
            decisions.expire(out, h)
            return out.done().case
        case "offered":
            return case
    case = decisions.accept(case, h, sato).case
    match state:
        case "active":
            return decisions.connect(case, newest(case), sato).case
        case "on_hold":
            return decisions.hold(case, newest(case), MONDAY + timedelta(days=20), sato).case
        case "released":
            return decisions.release(case, newest(case), sato).case
        case "failed":
            return decisions.fail(case, newest(case), sato).case
        case "completed":
            connected = decisions.connect(case, newest(case), coordinator).case
            return decisions.complete(connected, newest(connected), sato).case
    return case


def says(made: Card) -> list[str]:
    return [c.says for c in made.choices]


def primaries(made: Card) -> list[Choice]:
    return [c for c in made.choices if c.style == "primary"]


def test_an_offer_answers_six_questions_in_their_order() -> None:
    made = shown(offered()[0])
    assert [label for label, _v, _n in made.facts] == [
        "だれから",
        "お願い",
        "いま見える",
        "お返事まで",
        "答える人",
        "返事がないと",
    ]
    assert made.facts[0][1] == "地域包括支援センター北 鈴木さん"
    assert made.facts[2] == ("いま見える", "相談番号・役割・圏域(北部)", "共有できる理由 ご本人の同意")
    assert made.facts[3][1] == "6/10(水) 10:00"
    assert "調整役へ順に連絡" in made.facts[5][1]
    assert made.facts[5][2] == "主担当は鈴木さんのまま変わりません"
    assert [c.label for c in made.choices if c.style != "quiet"] == [
        "引き受けます", "条件付きで引き受ける", "検討して返事をする", "もう少し情報がほしい", "今回はお受けできない",
    ]  # fmt: skip
    assert says(made)[0] == "引受 385-267-52#1"
    assert "385-267-52" in made.text
    assert "引き受けます" not in made.text


@BOTH
@pytest.mark.parametrize("state", HANDOFF_STATES)
@pytest.mark.parametrize("reader", ["sato", "suzuki", "takahashi", "mori"])
def test_an_offers_card_tells_the_truth_in_every_state(state: str, reader: str, lang: str) -> None:
    made = shown(in_state(state), reader=reader, lang=lang)
    assert made.title and made.text and made.number == "385-267-52"
    assert len(primaries(made)) <= 1
    assert (made.band is None) == (state == "offered")
    for text in (made.title, made.text, *(made.band or ())):
        assert "{" not in text and "card." not in text and "band." not in text and not FORBIDDEN.search(text)
    for choice in made.choices:
        assert width(choice.label) <= WIDEST
        assert match(take_apart(choice.says).rest, {w: w for w in WORDS.values()}), "a button says a word of the book"
    if reader == "mori":
        assert made.choices == ()
    assert made.view("card-1")["id"] == "card-1"


def test_an_answered_offer_shows_who_and_when_then_the_bars_and_the_one_next_wait() -> None:
    made = shown(in_state("accepted"))
    assert made.band == ("ok", "佐藤さんが引き受けました", "6/8(月) 10:00 自立相談支援つばさ")
    assert [b[0] for b in made.bars] == ["見届け 地域包括支援センター北", "担当 自立相談支援つばさ"]
    assert made.bars[0][3] > made.bars[1][2], "the sender's bar does not end before the receiver's has begun"
    assert (made.next, made.wait and made.wait["text"]) == ("初回の連絡", "6/15(月)まで")
    assert [c.label for c in made.choices] == ["つながりました", "会えませんでした", "調整役へ戻す"]
    colleague = shown(in_state("accepted"), reader="inoue")
    assert colleague.band and colleague.band[1] == "ひと足先に、佐藤さんが引き受けてくださいました"
    assert colleague.choices == ()


def test_considering_keeps_the_buttons_and_says_until_when() -> None:
    made = shown(in_state("considering"))
    assert made.band and made.band[1].startswith("検討中 6/15(月)")
    assert not any(s.startswith("検討") for s in says(made))
    assert "引受 385-267-52#1" in says(made)


def test_a_reminder_of_an_answered_offer_shrinks() -> None:
    case, _h, wait = offered()
    data = {"what": "react", "act": "remind", "due": wait.due_at.isoformat()}
    waiting = shown(case, "ring", reader=None, room="tsubasa", wait=wait, **data)
    assert waiting.kind == "reminder"
    assert "お忙しいところ恐れ入りますが" in waiting.text
    assert "引受 385-267-52#1" in says(waiting)
    after = shown(in_state("accepted"), "ring", reader=None, room="tsubasa", wait=None, **data)
    assert after.band and after.band[1] == "お返事をいただきました"
    assert after.choices == () and after.facts == ()


def test_the_coordinator_hears_that_the_lead_has_not_changed() -> None:
    case, _h, wait = offered()
    made = shown(case, "ring", reader="takahashi", wait=wait, what="react", act="tell")
    assert "主担当は鈴木さんのままです" in made.text and "お電話での確認" in made.text
    assert any(s.startswith("依頼 385-267-52 work ") for s in says(made))
    assert made.facts[0][2] == TOWN.agencies["tsubasa"].phone


def test_a_check_in_has_equal_answers_and_an_easy_way_out() -> None:
    case = in_state("active")
    wait = case.wait("checkin", newest(case).id)
    made = shown(case, "ring", wait=wait, what="checkin", act="ask")
    assert made.kind == "checkin"
    assert made.text == "385-267-52 あじさい の定期確認です。この1か月、いかがでしたか。"
    assert [c.label for c in made.choices] == [
        "会えた・変わりなし",
        "会えた・気になる",
        "会えていない",
        "電話がほしい",
        "今回は難しいです",
    ]
    assert primaries(made) == [] and made.choices[-1].style == "quiet"
    drawn = made.view("c")["choices"]
    assert isinstance(drawn, list) and drawn[0]["glyph"] == "same"
    answered = checkin.report(case, newest(case), "calm", act("sato")).case
    after = shown(answered, "ring", wait=None, what="checkin", act="ask")
    assert after.choices == () and after.band and "つぎの定期確認" in after.band[2]


def test_a_volunteer_is_asked_by_the_mark_and_sees_two_answers_to_an_offer() -> None:
    case, _h, _wait = offered("watch", "minsei-kita", to_staff="yamamoto")
    made = shown(case, reader="yamamoto")
    assert [c.label for c in made.choices] == ["引き受けます", "今回は難しいです"]
    assert made.text.startswith("あじさい(385-267-52)")
    case = decisions.accept(case, newest(case), act("yamamoto")).case
    case = decisions.connect(case, newest(case), act("yamamoto")).case
    asked = shown(
        case, "ring", reader="yamamoto", wait=case.wait("checkin", newest(case).id), what="checkin", act="ask"
    )
    assert asked.text == "「あじさい」のおうちのようすは、いかがでしたか。"
    assert "姿は見た 385-267-52#1" in says(asked)


def test_outside_no_volunteer_district_or_starred_reason() -> None:
    case, handoff, _wait = offered("watch", "minsei-kita", to_staff="yamamoto")
    made = shown(case, reader="suzuki", outside=True)
    assert "山本" not in made.message().text + "".join(v for _l, v in made.message().facts)
    assert "北部" not in "".join(v for l_, v, _n in made.facts if l_ == "いま見える")
    case, handoff, _wait = offered()
    declined = decisions.decline(case, handoff, "safety", act("sato")).case
    told_ = shown(declined, "declined", reader="suzuki", outside=True, code="safety", hops=1)
    assert "理由はWebで" in told_.text and "安全上" not in str(told_)


def test_a_decline_offers_the_next_agency_and_the_second_goes_to_the_coordinator() -> None:
    case = in_state("declined")
    made = shown(case, "declined", reader="suzuki", code="at_capacity", hops=1)
    assert "(理由: 定員)" in made.text
    assert len(primaries(made)) == 1 and says(made)[0].startswith("依頼 385-267-52 work ")
    assert "調整役が考えます" in shown(case, "declined", reader="suzuki", code="at_capacity", hops=2).text


def test_after_a_death_only_the_approver_is_asked() -> None:
    case = stage.record_death(in_state("active"), act("suzuki")).case
    assert shown(case, "death", reader="sato").choices == ()
    asked = shown(case, "approve_please", reader="takahashi", proposal="close", by="suzuki", reason="deceased")
    assert says(asked) == ["承認 385-267-52"]
    ring_ = shown(case, "ring", reader="sato", wait=None, what="checkin")
    assert ring_.choices == () and "すべて止めています" in ring_.text
    assert "亡くなられ" not in shown(case, "death", reader="sato", outside=True).text


def test_an_emergency_shows_numbers_first_and_never_claims_to_have_reached_anyone() -> None:
    case = facts.set_urgency(offered()[0], Urgency.EMERGENCY, act("suzuki")).case
    made = shown(case)
    assert made.phones[0] == ("地域包括支援センター北", TOWN.agencies["houkatsu-kita"].phone)
    danger = card(
        "danger", {"person": "sato"}, None, None, None, reader=TOWN.staff["takahashi"], room=None, town=TOWN, at=MONDAY,
        voice=Voice(TOWN), mark="",
    )  # fmt: skip
    assert "まだ誰ともつながっていません" in danger.text
    assert [(c.label, c.says) for c in danger.choices] == [
        ("電話した・つながった", "電話した"),
        ("電話した・出ない", "電話出ない"),
    ]
    assert danger.phones


@BOTH
@pytest.mark.parametrize("kind", sorted(told()))
@pytest.mark.parametrize("state", ["offered", "accepted", "active", "declined", "expired"])
def test_every_notice_renders_in_whatever_state_it_is_read(kind: str, state: str, lang: str) -> None:
    data = {
        "person": "mori", "by": "suzuki", "holder": "sato", "until": MONDAY.isoformat(), "agency": "tsubasa", "reason": "other",
        "urgency": "high", "stage": "support", "source": "intake", "previous": "614-908-23", "span": "1mo", "recheck": MONDAY.isoformat(),
        "ask": 7, "duty": "work", "answer": "yes", "at": MONDAY.isoformat(), "start": "2026-06-12", "end": "2026-06-14", "request": 3,
    }  # fmt: skip
    for reader in ("suzuki", "takahashi", "sato"):
        made = shown(in_state(state), kind, reader=reader, lang=lang, **data)
        assert made.title and made.text and "{" not in made.text and "card." not in made.title + made.text
        assert not FORBIDDEN.search(made.text) and len(primaries(made)) <= 1
        assert all(width(c.label) <= WIDEST for c in made.choices)
        made.view("x"), made.message()


@BOTH
@pytest.mark.parametrize("kind", sorted(DEFAULTS))
def test_every_wait_rings_in_words_for_its_owner_and_for_the_others(kind: str, lang: str) -> None:
    case = in_state("accepted")
    for owner in ("lead", "coordinator", "holder"):
        wait = Wait(
            7,
            kind,
            owner,
            MONDAY,
            MONDAY + timedelta(days=1),
            DEFAULTS[kind],
            handoff=newest(case).id,
            subject="talk:1",
        )
        standing = replace(case, waits=(*case.waits, wait))
        for reader in ("suzuki", "sato", "takahashi", "watanabe"):
            made = shown(standing, "ring", reader=reader, wait=wait, lang=lang, what=kind, act="tell", subject="talk:1")
            assert made.title and made.text and "ring." not in made.title + made.text
            assert len(primaries(made)) <= 1


def test_a_silent_offer_speaks_to_each_in_turn() -> None:
    """Through real rungs: the room that was asked, in the end sender and coordinator; the room is thanked."""
    case, _h, wait = offered()
    texts = []
    for _ in range(4):
        wait = next((w for w in case.waits if w.id == wait.id), wait)
        out = ring(case, wait, act(None, wait.next_at or MONDAY))
        case = out.case
        for notice in out.notices:
            code = notice.to[0].code
            made = card(
                notice.kind, notice.data, case, newest(case), next((w for w in case.waits if w.id == notice.wait), None),
                reader=TOWN.staff.get(code), room=code if notice.to[0].kind == "room" else None, town=TOWN, at=out.act.at,
                voice=Voice(TOWN), mark="",
            )  # fmt: skip
            texts.append((notice.kind, code, made.title))
    assert texts[:2] == [("ring", "tsubasa", "お返事のお願い")] * 2
    assert ("expired", "suzuki", "お返事がまだの依頼") in texts
    assert texts[-1] == ("expired_receiver", "tsubasa", "お返事の期限を過ぎました")


def test_case_at_a_glance_says_who_until_when_and_what_next() -> None:
    made = shown(in_state("accepted"), "summary", reader="suzuki")
    assert made.text == "385-267-52 あじさい は「受付」です。主担当は鈴木さんです。"
    assert ("就労相談", "自立相談支援つばさ 佐藤さん", "引受済") in made.facts
    assert made.wait is not None and "見立て 385-267-52 続ける" in says(made)


def test_every_press_and_turn_names_buttons_that_exist() -> None:
    for names, _primary in PRESSES.values():
        assert all(f"button.{name}" in ja.SENTENCES for name in names)
    assert set(TURNS) <= set(DEFAULTS)


# -- refusals


def test_missing_facts_are_all_named_with_the_words_that_supply_them() -> None:
    case = opened()
    refusal = refusals.FactsMissing(
        stage="support", missing=("screened", "consent_recorded", "issues_covered", "lead_accepted")
    )
    message = word(refusal, Voice(TOWN), MONDAY, number="385-267-52", case=case)
    assert message.text.startswith("385-267-52 を「支援」へ移すには、あと4つ")
    assert message.text.count("\n") == 4
    said = [c.says for c in message.choices]
    assert "見立て 385-267-52 続ける" in said and "同意 385-267-52 未" in said
    assert "困りごと 385-267-52 仕事 資源なし" in said and "困りごと 385-267-52 困窮 望まない" in said
    assert "依頼 385-267-52" in said


def test_own_choices_come_first_and_a_wrong_digit_offers_the_near_number() -> None:
    refusal = refusals.WrongCheckDigit(number="385-267-53", choices=(("385-267-52 あじさい", "引受 385-267-52"),))
    message = word(refusal, Voice(TOWN), MONDAY)
    assert message.text == "385-267-53 は見つかりませんでした。数字が1つちがうようです。こちらのことでしょうか。"
    assert [c.says for c in message.choices] == ["引受 385-267-52", "一覧"]


@BOTH
def test_somebody_was_first_is_thanked_not_blamed(lang: str) -> None:
    refusal = refusals.AlreadyTaken(holder="mori", agency="hibari", at=MONDAY)
    text = word(refusal, Voice(TOWN, lang), MONDAY, number="385-267-52").text
    assert ("ひと足先に" if lang == "ja" else "a moment ahead") in text
    assert ("森さん" if lang == "ja" else "Mori") in text


def test_a_word_that_means_two_things_has_its_own_answer() -> None:
    voice = Voice(TOWN)
    assert did_key("accept", ["handoff.late_acceptance"], voice) == "did.accept.handoff.late_acceptance"
    assert did_key("accept", ["handoff.accept", "issue.hold"], voice) == "did.accept"
    assert did_key("decline", ["checkin.cannot"], voice) == "did.decline.checkin.cannot"


def test_it_is_quick_enough_for_every_card_of_a_room() -> None:
    town: Town = TOWN
    case = in_state("accepted")
    for _ in range(100):
        made = card(
            "offer",
            {},
            case,
            newest(case),
            None,
            reader=town.staff["sato"],
            room=None,
            town=town,
            at=MONDAY,
            voice=Voice(town),
            mark="",
        )
        assert made.choices


def test_between_the_parts_of_a_list_its_own_space_stays() -> None:
    assert voice_for(TOWN, "en").join(["a", "b"]) == "a, b" and voice_for(TOWN, "ja").join(["a", "b"]) == "a、b"


# -- what may be absent

#: A place left empty: two spaces, a 「 まで」 without its day, empty brackets, an English preposition before a full stop.
EMPTY = re.compile(
    r"None|  |(?<![\d)]) (?:まで|に見直)|^(?:が|まで|の空き)|\(\)|「」|\b(?:by|until|for|of|from) ?[.,)]|\(\d?\)"
)
#: What these always bring with them: without it there is nothing to tell.
BROUGHT: dict[str, dict[str, object]] = {
    "capacity_answer": {"duty": "work", "answer": "yes", "agency": "tsubasa"},
    "absence": {"person": "sato", "start": "2026-06-12", "end": "2026-06-14"},
}


@cache
def long_after() -> tuple[Case, ...]:
    """A case in each state of its handoff, with every wait over."""
    return tuple(replace(in_state(state), waits=()) for state in HANDOFF_STATES)


@BOTH
@pytest.mark.parametrize("kind", sorted(told()))
def test_a_card_without_any_optional_fact_has_no_hole(kind: str, lang: str) -> None:
    """The waits are over, the handoff has moved on, and the notice brought no more than it must."""
    for case, reader in itertools.product(long_after(), ("suzuki", "sato")):
        made = shown(case, kind, reader=reader, lang=lang, **BROUGHT.get(kind, {}))
        lines = [made.title, made.text, *(made.band or ()), *(text for fact in made.facts for text in fact)]
        assert [line for line in lines if EMPTY.search(line)] == [], newest(case).state


def test_a_day_is_never_borrowed_from_what_came_after() -> None:
    assert "6/15(月) 10:00 までにお返事" in shown(in_state("considering"), "considering", reader="suzuki").text
    after = shown(in_state("accepted"), "considering", reader="suzuki").text
    assert after == "385-267-52 あじさい の就労相談は、自立相談支援つばさで検討されました。いまは「引受済」です。"
    resting = shown(in_state("on_hold"), "waitlisted", reader="suzuki").text
    assert "に見直します" not in resting and "いまは「一時休み」" in resting


def test_every_word_of_the_book_has_a_help_sentence_in_both_languages() -> None:
    assert MEANING.keys() == BOOK.keys()
    assert [name for name, one in BOOK.items() if one.doc in ("", MEANING[name])] == []
    assert [
        name for name, text in MEANING.items() if not re.search(r"[ぁ-ん]", text) or not text.endswith(("。", "？"))
    ] == []
    assert [one.usage for one in BOOK.values() if "関心" in one.usage] == []


# -- one's own words, shown again


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("依頼 385-267-52 budget tomoshibi", "依頼 385-267-52 家計相談 家計改善ともしび"),
        ("引受 385-267-52#1", "引受 385-267-52"),
        ("困りごと 385-267-52 job_search 資源なし", "困りごと 385-267-52 仕事 資源なし"),
        ("期限延長 385-267-52#2 6/12 checkin", "期限延長 385-267-52 6/12 定期確認"),
        ("依頼 385-267-52 work tsubasa/sato 再度", "依頼 385-267-52 就労相談 自立相談支援つばさ/佐藤さん 再度"),
        ("today", "today"),
        ("please call about work", "please call about work"),
        ("385-267-52", "385-267-52"),
    ],
)
def test_the_words_of_a_button_are_shown_with_names(said: str, text: str) -> None:
    assert echoed(said, Voice(TOWN)) == text


@pytest.mark.parametrize(
    ("state", "text"), [("expired", "このおたずねは終わりました"), ("accepted", "お返事をいただきました")]
)
def test_a_reminder_thanks_for_an_answer_only_where_there_was_one(state: str, text: str) -> None:
    case = replace(in_state(state), waits=())
    assert text in shown(case, "ring", reader="sato", what="react").text
