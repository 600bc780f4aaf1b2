"""The town file in a clerk's hands: what a new one changes, in sentences; staff as a CSV table."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from bot.town.entries import CODE_LISTS, Doc, TownMistake, meant
from workflow.calendar import Span
from workflow.people import Role

#: What each wait is called where a clerk reads about it.
WAITS: Final[Mapping[str, str]] = {
    "screening": "受付の振り分け",
    "react": "依頼への最初の返事",
    "decide": "検討のあとの返事",
    "decide_weekly": "検討のあとの返事(受理会議のある機関)",
    "answer_question": "質問への回答",
    "next_step": "辞退・回答なしのあとの一手",
    "movement_intake": "動きがないとき(受付)",
    "movement_untangling": "動きがないとき(ほぐし)",
    "movement_role_division": "動きがないとき(役割分担)",
    "movement_support": "動きがないとき(支援)",
    "movement_watching": "動きがないとき(見守り)",
    "queue": "調整役の手もと",
    "first_contact": "引受のあとの初回の連絡",
    "first_contact_again": "会えなかったあとの初回の連絡",
    "checkin": "定期確認",
    "checkin_missed": "会えていないとき",
    "checkin_missed_harsh": "会えていないとき(寒暑の月)",
    "safety": "安否の確認",
    "condition": "条件の了承",
    "withdrawal": "取下げの判断",
    "on_hold": "一時休み",
    "talk": "相談・電話・気がかり",
    "conference": "支援会議の招集",
    "head_holds": "機関長の預かり",
    "closing_notice": "終結のお知らせ期間",
    "approval": "終結の承認",
    "plan_review": "プランの見直し",
    "decision": "支援決定",
    "consent": "同意の確認",
    "interim": "仮担当",
    "recheck": "中断の見直し",
    "waitlist": "空き待ちの見直し",
    "result": "結果の報告",
    "danger": "緊急の当番への電話",
    "report": "虐待の疑いの通報",
    "child_safety": "子どもの安全の確認(通報から48時間)",
    "report_follow": "通報のあとの確認",
}
UNITS: Final[Mapping[str, str]] = {
    "bd": "営業日",
    "bh": "開所時間",
    "d": "日",
    "mo": "か月",
    "min": "分",
    "h": "時間",
    "%": "%",
    "same_day": "当日中",
    "at_once": "すぐ",
    "now": "期限ちょうど",
}
ROLES: Final[Mapping[str, str]] = {
    "staff": "職員",
    "head": "機関長",
    "coordinator": "調整役",
    "official": "市担当課",
    "watcher": "見守り協力者",
    "host": "受け入れ先",
    "admin": "システム管理",
    "privacy": "個人情報保護責任者",
}
KIND_NAMES: Final[Mapping[str, str]] = {
    "first_line": "相談の窓口",
    "coordinating_body": "多機関協働の機関",
    "municipality": "市役所",
    "provider": "支援の機関",
    "outreach": "アウトリーチの機関",
    "host": "受け入れ先",
    "watcher": "見守り協力者",
}
ABUSE: Final[Mapping[str, str]] = {
    "child": "児童虐待",
    "elder": "高齢者虐待",
    "disability": "障害者虐待",
    "dv": "DV",
}
LISTS: Final[Mapping[str, str]] = {
    "duty": "役割",
    "concern": "関心",
    "decline": "辞退の理由",
    "condition": "引受の条件",
    "missing": "質問の項目",
    "closing": "終結の理由",
}
#: What the keys of the entries are called; a key that is not here is named as the file names it.
KEYS: Final[Mapping[str, str]] = {
    "name": "名前",
    "kind": "種類",
    "fields": "分野",
    "districts": "圏域",
    "phone": "電話",
    "hours": "開所時間",
    "open": "曜日ごとの開所時間",
    "closed": "お休み",
    "capacity": "持ち件数の目安",
    "decides": "決めかた",
    "discreet": "外での名前を伏せる",
    "platforms": "使えるチャット",
    "valid_from": "始まりの日",
    "valid_to": "終わりの日",
    "posts": "所属と職",
    "deputy": "代理",
    "email": "メール",
    "chat": "チャットのアカウント",
    "language": "言語",
    "label": "呼び名",
    "short": "短い名",
    "meets_person": "ご本人に会う",
    "starred": "外では伏せる",
    "whose": "だれの事情",
    "lasting": "変わらない理由",
    "next": "次の提案",
    "code": "自治体コード",
    "timezone": "時間帯",
    "holidays": "祝日の国",
    "phones": "電話の一覧",
    "final_owner": "最後に受けとめる人",
    "harsh": "寒暑の月",
    "normal": "通常",
    "high": "急ぎ",
    "emergency": "緊急",
    "rungs": "知らせる段",
    "emergency_rungs": "緊急のときの段",
}
#: What is kept for so many days.
RETENTION: Final[Mapping[str, str]] = {
    "letters": "お知らせと、終わった約束",
    "inbox": "外から届いたできごと",
    "traces": "使い終わった合言葉などの跡",
}
#: What `read` adds to `[municipality]` by itself.
DERIVED: Final = ("years", "holiday_dates")
_COLUMNS: Final = ("code", "name", "agency", "role", "deputy", "email")
_HEADINGS: Final[Mapping[str, str]] = {
    "コード": "code",
    "職員コード": "code",
    "氏名": "name",
    "名前": "name",
    "機関": "agency",
    "所属": "agency",
    "職": "role",
    "役職": "role",
    "代理": "deputy",
    "メール": "email",
    "メールアドレス": "email",
}


# -- what a new file changes


def diff(old: Doc | None, new: Doc) -> list[str]:
    """Say in sentences what the new document changes; [] when nothing does."""
    if old is None:
        return _first(new)
    return [
        *_city(old, new),
        *_agencies(old, new),
        *_people(old, new),
        *_oncall(old["oncall"], new["oncall"]),
        *_report(old.get("report") or new["report"], new["report"]),
        *(said for kind in CODE_LISTS for said in _listed(kind, old[kind], new[kind])),
        *_waits(old["waits"], new["waits"]),
        *_stages(old["stages"], new["stages"]),
        *_sentences(old["sentences"], new["sentences"]),
        *_marks(old["marks"], new["marks"]),
        *_limits(old["limits"], new["limits"]),
        *_retention(old.get("retention") or new["retention"], new["retention"]),
    ]


def _first(new: Doc) -> list[str]:
    city = new["municipality"]
    final = next(s["name"] for s in new["staff"] if s["code"] == city["final_owner"])
    return [
        f"「{city['name']}」をはじめて読み込みます。",
        f"機関 {len(new['agency'])}、職員と協力者 {len(new['staff'])}人、当番 {len(new['oncall'])}行です。",
        f"最後に受けとめる人は「{final}」さんです。",
        *(f"機関「{a['name']}」({KIND_NAMES[a['kind']]})が加わります。" for a in new["agency"]),
        *(f"{_person(s, new)}が加わります。" for s in new["staff"]),
    ]


def _city(old: Doc, new: Doc) -> Iterator[str]:
    was, now = old["municipality"], new["municipality"]
    name = {s["code"]: s["name"] for doc in (old, new) for s in doc["staff"]}
    for key in now:
        if key in DERIVED or was.get(key) == now[key]:
            continue
        say: Callable[[object], str] = (lambda code: f"「{name[str(code)]}」さん") if key == "final_owner" else _said
        yield f"町の{_key(key)}が、{say(was.get(key))}から{say(now[key])}に変わります。"
    if was["holidays"] == now["holidays"] and was["years"] == now["years"]:
        yield from _holidays(was["holiday_dates"], now["holiday_dates"])


def _holidays(was: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    for days, what in ((sorted(set(now) - set(was)), "加わります"), (sorted(set(was) - set(now)), "なくなります")):
        if days:
            yield f"祝日 {'、'.join(days)} が{what}。"


def _agencies(old: Doc, new: Doc) -> Iterator[str]:
    yield from _entries(old["agency"], new["agency"], lambda a: f"機関「{a['name']}」")
    yield from _order(old["agency"], new["agency"], "機関")


def _people(old: Doc, new: Doc) -> Iterator[str]:
    name = {s["code"]: s["name"] for doc in (old, new) for s in doc["staff"]}
    agency = {a["code"]: a["name"] for doc in (old, new) for a in doc["agency"]}

    def posts(value: object) -> str:
        assert isinstance(value, list)
        return f"「{'、'.join(agency[p['agency']] + 'の' + ROLES[p['role']] for p in value)}」"

    def deputy(value: object) -> str:
        return f"「{name[str(value)]}」さん" if value else "「なし」"

    before = {s["code"] for s in old["staff"]}
    yield from _entries(
        old["staff"],
        new["staff"],
        lambda s: _person(s, new if s["code"] not in before else old),
        {"posts": posts, "deputy": deputy, "chat": lambda _: ""},
    )
    yield from _order(old["staff"], new["staff"], "職員")


def _person(person: Doc, doc: Doc) -> str:
    agency = {a["code"]: a["name"] for a in doc["agency"]}
    return f"「{person['name']}」さん({'、'.join(dict.fromkeys(agency[p['agency']] for p in person['posts']))})"


def _oncall(was: Sequence[Doc], now: Sequence[Doc]) -> Iterator[str]:
    for row in now:
        if row not in was:
            yield f"当番表に「{_shift(row)}」が入ります。"
    for row in was:
        if row not in now:
            yield f"当番表から「{_shift(row)}」がなくなります。"
    if was != now and sorted(map(_shift, was)) == sorted(map(_shift, now)):
        yield "当番表の順番が変わります。"


def _report(was: Sequence[Doc], now: Sequence[Doc]) -> Iterator[str]:
    for row in (r for r in now if r not in was):
        yield f"{ABUSE[row['kind']]}の疑いのときの電話に「{row['label']} {row['number']}」が入ります。"
    for row in (r for r in was if r not in now):
        yield f"{ABUSE[row['kind']]}の疑いのときの電話から「{row['label']} {row['number']}」がなくなります。"


def _shift(row: Doc) -> str:
    return f"{row['name']} {row['phone']} {','.join(row['days'])} {row['from']}-{row['to']}"


def _listed(kind: str, was: Sequence[Doc], now: Sequence[Doc]) -> Iterator[str]:
    yield from _entries(was, now, lambda e: f"{LISTS[kind]}「{e['label']}」")


def _entries(
    was: Sequence[Doc],
    now: Sequence[Doc],
    called: Callable[[Doc], str],
    say: Mapping[str, Callable[[object], str]] | None = None,
) -> Iterator[str]:
    """Compare entries by code: which join, which leave, and what changes in the rest."""
    before, after = ({e["code"]: e for e in entries} for entries in (was, now))
    yield from (f"{called(e)}が加わります。" for code, e in after.items() if code not in before)
    yield from (f"{called(e)}がなくなります。" for code, e in before.items() if code not in after)
    for code in (c for c in after if c in before):
        yield from _changes(called(before[code]), before[code], after[code], say or {})


def _changes(called: str, was: Doc, now: Doc, say: Mapping[str, Callable[[object], str]]) -> Iterator[str]:
    for key in now:
        if was.get(key) == now[key]:
            continue
        word = say.get(key, _said)
        before, after = word(was.get(key)), word(now[key])
        yield f"{called}の{_key(key)}が" + (
            f"、{before}から{after}に変わります。" if before != after else "変わります。"
        )


def _order(was: Sequence[Doc], now: Sequence[Doc], what: str) -> Iterator[str]:
    """The file's order counts: who is asked first, which agency is proposed first."""
    before, after = [e["code"] for e in was], [e["code"] for e in now]
    if [c for c in before if c in after] != [c for c in after if c in before]:
        yield f"{what}の並び順が変わります(知らせや候補の順番になります)。"


def _waits(was: Doc, now: Doc) -> Iterator[str]:
    for kind, policy in now.items():
        for key, value in policy.items():
            if kind not in was or was[kind].get(key) == value:
                continue
            called = f"待ち「{WAITS.get(kind, kind)}」の{_key(key)}"
            if key.endswith("rungs"):
                yield f"{called}が変わります。新しい待ちから効きます。"
            else:
                yield f"{called}が、{_span(was[kind].get(key))}から{_span(value)}に変わります。新しい待ちから効きます。"


def _span(text: str | None) -> str:
    if not text:
        return "「急ぎと同じ」"
    span = Span.parse(text)
    return f"「{UNITS[span.unit] if span.unit in ('same_day', 'at_once', 'now') else f'{span.n}{UNITS[span.unit]}'}」"


def _stages(was: Doc, now: Doc) -> Iterator[str]:
    yield from (f"段階「{was[s]}」の呼び名が「{now[s]}」に変わります。" for s in now if was.get(s, now[s]) != now[s])


def _sentences(was: Doc, now: Doc) -> Iterator[str]:
    for language in dict.fromkeys((*was, *now)):
        before, after = was.get(language, {}), now.get(language, {})
        for key in dict.fromkeys((*before, *after)):
            if key not in after:
                yield f"文「{key}」({language})が、もとの文に戻ります。"
            elif before.get(key) != after[key]:
                yield f"文「{key}」({language})が「{after[key]}」に変わります。"


def _marks(was: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if more := [word for word in now if word not in set(was)]:
        yield f"目印が{len(more)}語加わります。"
    if less := [word for word in was if word not in set(now)]:
        yield f"目印が{len(less)}語なくなります。使われている目印は、その相談が終わるまで残ります。"


def _limits(was: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    yield from (
        f"きまり {name} が {was.get(name)} から {n} に変わります。" for name, n in now.items() if was.get(name) != n
    )


def _retention(was: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    yield from (
        f"{RETENTION[name]}を残す日数が {was[name]} から {days} に変わります。"
        for name, days in now.items() if was[name] != days
    )  # fmt: skip


def _key(key: str) -> str:
    return KEYS.get(key, key)


def _said(value: object) -> str:
    match value:
        case None | "" | [] | {}:
            return "「なし」"
        case bool():
            return "「はい」" if value else "「いいえ」"
        case list():
            return "「" + "、".join(_plain(one) for one in value) + "」"
        case dict():
            return f"「{_plain(value)}」"
        case _:
            return f"「{KIND_NAMES.get(str(value), value)}」"


def _plain(value: object) -> str:
    return " ".join(f"{part}" for part in value.values()) if isinstance(value, dict) else str(value)


# -- staff as a table


def staff_csv(text: str) -> list[Doc]:
    """Read a table of staff: code, name, agency, role, deputy, email, headed in English or Japanese.

    Somebody with two posts has two rows. Raise TownMistake with the line.
    """
    return [row for _, row in people_rows(text)]


def people_rows(text: str, where: str = "staff.csv") -> list[tuple[int, Doc]]:
    """Read the rows of a table of staff, each with the line it begins on."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    rows: list[tuple[int, Doc]] = []
    columns: list[str] = []
    begins = 1
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                pass
            elif not columns:
                columns = _columns(cells, begins, where)
            else:
                rows.append((begins, _row(cells, columns, begins, where)))
            begins = lines.line_num + 1
    except csv.Error:
        raise TownMistake(begins, 'この行の引用符(")が閉じていません。', where) from None
    if not columns:
        raise TownMistake(1, f"表が空です。最初の行に {', '.join(_COLUMNS)} と書いてください。", where)
    return rows


def _columns(cells: Sequence[str], line: int, where: str) -> list[str]:
    columns = [_HEADINGS.get(cell.strip(), cell.strip()) for cell in cells]
    for cell, column in zip(cells, columns, strict=True):
        if column not in _COLUMNS:
            raise TownMistake(line, f"見出し「{cell}」はありません。{meant(cell, _COLUMNS)}", where)
        if columns.count(column) > 1:
            raise TownMistake(line, f"見出し「{cell}」が二つあります。", where)
    for column in ("code", "name", "agency"):
        if column not in columns:
            raise TownMistake(line, f"見出し「{column}」がありません。", where)
    return columns


def _row(cells: Sequence[str], columns: Sequence[str], line: int, where: str) -> Doc:
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        raise TownMistake(line, f"この行には見出しより多くの欄があります({len(cells)}欄)。", where)
    row: Doc = dict.fromkeys(_COLUMNS, "") | dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    for column in ("code", "name", "agency"):
        if not row[column]:
            raise TownMistake(line, f"この行の {column} が空です。", where)
    named = {name: code for code, name in ROLES.items()}
    row["role"] = named.get(row["role"], row["role"]) or "staff"
    if row["role"] not in tuple(Role):
        raise TownMistake(line, f"職「{row['role']}」はありません。{meant(row['role'], tuple(Role))}", where)
    return row
