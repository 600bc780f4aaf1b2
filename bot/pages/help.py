"""Help: every word by who may say it, and the three graphs as lists. Made from the book and the graphs themselves."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.responses import Response

from bot.commands import BOOK, Command
from bot.commands.everyone import visible
from bot.pages.frame import Desk, show
from workflow.path import GRAPHS, STATES, Edge, Graph

if TYPE_CHECKING:
    from bot.ask import Ask

#: What each word means, as people say it. A town's own `help.<name>` wins; English reads the command's own line.
MEANING: Final = {
    "offer": "ひとつの機関(または、そのなかのお一人)に役割をお願いします。",
    "offer_all": "いくつかの機関に一度にお願いします。最初に引き受けた機関に決まり、ほかへはお礼が届きます。",
    "probe": "名前を出さずに、空きがあるかをたずねます。だれも縛りません。",
    "room": "打診に答えます。答えは空き状況に、いつのものかといっしょに載ります。",
    "accept": "自分の名前で引き受けます。最初の引受に決まります。",
    "accept_all": "ご自分や機関に届いている依頼を、まとめて引き受けます。",
    "candidates": "役割をお願いできる機関を、公平な順に見ます。",
    "take_back_decline": "まちがえて押した辞退を伝えなおします。お願いした方がもう一度お願いできます。",
    "conditional": "条件をつけて引き受けます。お願いした方が了承すると決まります。",
    "consider": "お返事の日を決めて、考える時間をもらいます。1回だけです。",
    "question": "お願いした方に、ひとつずつたずねます。そのあいだ期限は止まります。",
    "decline": "理由を選んでお断りします。つぎの候補へは自動で進みます。ボランティアの方に理由はいりません。",
    "waitlist": "いまは難しいけれど、空いたら。見直す日を決めます。",
    "place_free": "空きました、と伝えます。依頼がもう一度お返事を待ちます。",
    "answer": "届いた質問に答えます。",
    "agree": "つけられた条件を了承します。",
    "without": "条件なしでお願いしなおします。",
    "withdraw": "依頼を取り下げます。引き受けられたあとは調整役が決めます。",
    "keep": "取下げを求められた役割を、そのまま続けてもらいます。",
    "mistake": "まちがえて登録したものを消します。",
    "take_late": "期限のあとに届いた引受を、あらためてお願いします。",
    "proxy": "電話やFAX、会議でのお返事を代わりに書きとめます。ご本人には2営業日のあいだ「ちがいます」と言えます。",
    "object_proxy": "代わりに書かれたお返事が、言ったことと違うと伝えます。",
    "move": "相談をつぎの段階へ移します。足りないことがあれば、それを決めることばが示されます。",
    "forward": "相談を、つぎの段階へ進めます。足りないことがあれば、それを決めることばが示されます。",
    "suspend": "見直す日を決めて、中断を提案します。別の方が承認します。",
    "resume": "中断した相談や、休んでいた役割を再び始めます。",
    "death": "ご逝去を記録します。待ちも、まだ届いていないお知らせも、すぐに止まります。",
    "close": "終結を提案します。お知らせの期間のあと、別の方が承認します。",
    "withdraw_proposal": "承認を待っている終結や中断の提案を取り下げます。",
    "approve": "終結や中断を、提案した人とは別の方が承認します。",
    "concern": "気がかりを伝えます。終結は止まり、ふだんは主担当がその日のうちに見ます。",
    "reassign": "主担当をほかの機関にお願いします。引き受けられるまで、いまの主担当が続けます。",
    "interim": "調整役の機関がすぐに主担当を預かります。長くて10営業日です。",
    "extend": "いちばん近い期限を延ばします。2回までです。",
    "extend_back": "直前の期限延長を取り消し、元の日に戻します。",
    "end_coordination": "多機関協働の関わりに区切りをつけます。相談と役割は続きます。",
    "conference": "重層的支援会議の日時を決めてお呼びします。支援会議は、市に招集をお願いします。",
    "attend": "お呼びした会議に行けます、と伝えます。",
    "cannot_attend": "お呼びした会議に行けません、と伝えます。機関長が代わりの方を出せます。",
    "emergency": "命の危険のとき。電話番号がすぐに出て、当番に届きます。番号をそえると、その相談が緊急になります。",
    "reached": "人がだれかと話せました。当番への呼び出しが止まります。",
    "not_reached": "だれも出ませんでした。すぐにつぎの当番を呼びます。",
    "talk": "今日、話を聞いてほしいと伝えます。",
    "phone": "電話がほしいと伝えます。",
    "help": "自分が使えることばを見ます。",
    "register": "招待の合言葉で、お使いのチャットをつなぎます。",
    "today": "今日の自分の番と、待っていることを見ます。",
    "next": "今日の問いを、ひとつずつ順に出します。",
    "list": "自分が関わる相談を見ます。",
    "show": "番号だけを送ると、その相談のいまが見えます。だれが、いつまで、過ぎたらどうなるか。",
    "stuck": "調整役を待っているものを見ます。返事がまだ、2回辞退、期限をすぎた。",
    "load": "機関ごとの件数を見ます。人を比べるものではありません。",
    "absence": "不在の期間を登録します。そのあいだは代理の方が答えます。ほかの方の不在は機関長か調整役が登録します。",
    "rest": "ボランティアの方がお休みします。いつでも、理由なしで。",
    "connected": "会えました、つながりました。定期確認へのお返事にもなります。",
    "not_met": "会えませんでした。日をおいて、もう一度たずねます。",
    "calm": "会えて、変わりありませんでした。",
    "worry": "会えたけれど、いつもと違いました。主担当がつぎを考えます。",
    "seen": "話せなかったけれど、姿や明かりは見えました。",
    "correct": "定期確認への前のお返事を取り消して、答えなおします。",
    "failed": "つながれませんでした。調整役がつぎを決めます。",
    "hold": "日を決めて、役割を休みます。長くて3か月です。",
    "release": "役割を調整役に戻します。2営業日のうちにつぎが決まります。",
    "complete": "お願いされたことが終わりました。",
    "assign": "機関のなかの担当者を決めます。返事待ちの依頼なら、代わりに引き受けます。",
    "hold_for": "不在や異動の方の役割を、つぎの方が決まるまで預かります。",
    "intake": "相談を受け付けます。受け付けた方が、その時から主担当です。",
    "reconsult": "終わった相談の続きを、新しい相談としてひらきます。",
    "screen": "続ける、他機関へ、情報提供。受け付けて最初に決めることです。",
    "consent": "共有へのご本人の同意を記録します。機関を書くと、その機関だけへの同意です。",
    "basis": "ひとつの機関に伝えてよい根拠を記録します。",
    "issue": "困りごとをひとつ、ご本人の意向といっしょに書きとめます。",
    "no_conference": "会議はいらないと決めます。",
    "interval": "見守りの間隔を決めます。1か月より長くするのは、3回続けて会えたあとです。",
    "signs": "見守りで気をつけることを書きます。封をしてしまわれ、チームの方だけが読めます。",
    "reviewed": "プランを見直しました。つぎの見直しは今日から数えます。",
    "talked": "相談・電話・気がかり・安否の確認に、人が応えました。",
    "high": "急ぎにします。待っているものすべての期限が縮まります。",
    "normal": "わけを選んで、通常に戻します。",
    "abuse": "虐待かもしれないとき。だれも断れない道で進みます。まず電話を。",
    "reported": "通報・通告をしたことを、先と手段と時刻で記録します。書かなければ、いま、電話で。",
    "seen_safe": "ご本人の安全を、人の目で確かめました。子どもは通報から48時間のうちに。",
    "end_report": "市担当課が、わけを選んで、虐待の疑いの手続きを終えます。",
    "restrict": "関わる方と、名前を決めた調整役だけが見られる相談にします。「解除」で戻します。",
    "exclude": "相手方を支えている機関を候補からはずします。はずしたわけは、その機関に伝わりません。",
    "protect": "支援措置・避難中の印をつけます。どの画面にも出て、印刷には住所や連絡先が載りません。",
    "why": "その相談をご覧になれるわけを答えます。",
    "decide": "市の支援決定です。あとからの承認にもなります。",
    "convene": "調整役の求める支援会議を、市が招集します。",
}

GUARDS: Final = {
    "basis_for_receiver": "相手に伝えてよい根拠がある",
    "condition_given": "条件を選ぶ",
    "conference_decided": "会議をどうするか決めた",
    "consent_recorded": "同意の有無を記録した",
    "date_within_wait": "期限のうちの日を決める",
    "decline_reason": "理由を選ぶ",
    "duplicates_shown": "似た受付を見た",
    "hold_date": "見直す日を決める",
    "interval_set": "間隔を決めた",
    "issues_covered": "困りごとの担い手がそろった",
    "issues_have_wish": "困りごとごとに意向をうかがった",
    "lead_accepted": "主担当が引き受けている",
    "no_accepted_handoff": "引き受けられた役割がない",
    "no_danger": "危険がない",
    "no_objection": "気がかりの声がない",
    "no_open_offer": "返事待ちの依頼がない",
    "no_urgent_issue": "急ぎの困りごとがない",
    "not_last_candidate": "ほかに候補がある",
    "notice_over": "お知らせの期間がすぎた",
    "once": "1回だけ",
    "one_agency_holds_all": "ひとつの機関ですべて担える",
    "proposed": "提案がある",
    "reason_for_at_once": "その場で終えられる理由である",
    "reason_given": "わけをそえる",
    "recheck_date": "見直す日を決める",
    "screened": "見立てがすんだ",
    "second_person": "提案した人とは別の人",
    "tracks_ended": "市担当課の手続きがすんだ",
    "two_questions_at_most": "2問まで",
    "warning_signs": "気をつけることを書いた",
    "watcher_accepted": "見守りの担い手が引き受けている",
}

ORDER: Final = ("everyone", "staff", "lead", "asked", "sender", "holder", "team", "head", "coordinator", "official")
_KINDS: Final[dict[Graph, tuple[str, str]]] = {
    "case": ("相談の道のり", "stage"), "handoff": ("役割の引き継ぎ", "handoff_state"), "issue": ("困りごと", "issue_status"),
}  # fmt: skip


async def help_(found: Desk) -> Response:
    """Volunteers see the few words that are theirs; everybody else the whole book and the graphs."""
    small = found.reader.volunteer
    graphs = [] if small else [_graph(found, name) for name in GRAPHS]
    return show(found, "help.html", found.t("ことばの一覧"), "", shelves=_shelves(found), graphs=graphs, small=small)


# -- the words


def _shelves(found: Desk) -> list[dict[str, Any]]:
    mine = visible(cast("Ask", SimpleNamespace(speaker=found.reader)))
    commands = [c for name, c in BOOK.items() if not found.reader.volunteer or name in mine]
    shelves: dict[str, list[dict[str, Any]]] = {who: [] for who in ORDER}
    for one in sorted(commands, key=lambda c: not c.listed):
        shelves.setdefault(one.who, []).append(_word(found, one))
    return [
        {"id": f"who-{who}", "title": found.voice.label("who", who), "words": words}
        for who, words in shelves.items()
        if words
    ]


def _word(found: Desk, one: Command) -> dict[str, Any]:
    return {
        "id": f"word-{one.name}", "word": one.word, "usage": one.usage, "forms": found.voice.between("list.comma").join(_forms(one, found.voice.lang)),
        "meaning": meaning(found, one), "inside": one.inside, "button": not one.listed, "undo": bool(one.undo),
    }  # fmt: skip


def _forms(one: Command, lang: str) -> list[str]:
    """The other ways to say it, in the reader's language first; slips of the keyboard are understood but not shown."""
    english = lang == "en"
    shown = [f for f in one.forms if f != one.word and f not in one.heard and (english or f != one.name)]
    return sorted(shown, key=lambda form: form.isascii() != english)


def meaning(found: Desk, one: Command) -> str:
    """The town's sentence, else ours in the reader's language."""
    key = f"help.{one.name}"
    if found.voice.has(key):
        return found.voice.say(key)
    return MEANING.get(one.name, one.doc) if found.voice.lang == "ja" else one.doc


# -- the graphs


def _graph(found: Desk, name: Graph) -> dict[str, Any]:
    title, kind = _KINDS[name]
    rows = [_state(found, name, kind, state) for state in (None, *STATES[name])]
    return {"id": f"graph-{name}", "title": found.t(title), "name": name, "rows": rows}


def _state(found: Desk, name: Graph, kind: str, state: str | None) -> dict[str, Any]:
    label = found.voice.label(kind, state) if state else found.t("はじまり")
    ways: dict[str, Edge] = {}
    for edge in GRAPHS[name]:
        if edge.source == state:
            ways.setdefault(edge.event if edge.back else f"{edge.event}.{edge.dest}", edge)
    return {"state": label, "moves": [_move(found, kind, edge) for edge in ways.values()]}


def _move(found: Desk, kind: str, edge: Edge) -> dict[str, str]:
    t, voice = found.t, found.voice
    there = edge.dest if edge.dest != edge.source else None
    to = t("もとのところ") if edge.back else voice.label(kind, there) if there else t("そのまま")
    return {
        "event": _event(found, kind, edge.event), "to": to,
        "who": voice.join([voice.label("relation", actor) for actor in edge.actors]),
        "when": voice.say("list.comma").join(t(GUARDS.get(guard, guard)) for guard in edge.guards),
    }  # fmt: skip


def _event(found: Desk, kind: str, event: str) -> str:
    """A role's `hold` rests it; an issue's gives it somebody who takes it on."""
    return found.voice.label("event", "issue.hold" if (kind, event) == ("issue_status", "hold") else event)
