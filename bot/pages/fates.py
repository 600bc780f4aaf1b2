"""What has become of a letter, in words without blame: a case's page and the list of what is stuck say the same."""

import re
from typing import Final

from bot.pages.frame import Desk, View, at
from bot.voice.cards import TRACK_NOTICES
from storage import figures, letters
from storage.letters import LetterRow
from storage.tx import Tx
from workflow.case import TRACK

#: What adapters call it when something did not arrive → what people call it.
REASONS: Final = (
    (re.compile("blocked|kicked|deactivated|initiate"), "{platform}でブロックされています"),
    (re.compile("quota"), "{platform}の今月の通数を使い切っています"),
    (re.compile("revoked|auth|settings|missing_scope|no adapter"), "{platform}の設定の確認が必要です"),
    (re.compile("address|not.?found|archived|inactive|disabled|not_in_channel|^55[0-9]$"), "{platform}のあて先が見つかりません"),
)  # fmt: skip
#: Beside the words, never instead of them.
GLYPHS: Final = {
    "sent": ("done", "ok"), "unknown": ("help", "soon"), "failed": ("offline", "soon"), "superseded": ("full", ""),
}  # fmt: skip


def fate(found: Desk, row: LetterRow) -> str:
    """Say what has become of a letter outside."""
    match row.state:
        case "sent":
            return found.t("届けました")
        case "unknown":
            return found.t("届いたかどうか、わかりません")
        case "superseded":
            return found.t("送る前に、用が済みました")
        case "failed" if row.why.startswith(figures.GIVEN_UP):
            who = found.voice.person(row.why.removeprefix(figures.GIVEN_UP))
            return found.t("届けるのをやめました({who})", who=who)
        case "failed":
            why = reason(found, row)
            return found.t("届きませんでした({why})", why=why) if why else found.t("届きませんでした")
    if row.not_before > found.now:
        return found.t("{at} に届けます", at=found.voice.moment(row.not_before, found.now))
    return found.t("これから届けます")


def reason(found: Desk, row: LetterRow) -> str:
    """Why it did not arrive, where somebody can do something about it; else nothing."""
    known = next((words for pattern, words in REASONS if pattern.search(row.why)), "")
    return found.t(known, platform=found.voice.label("platform", row.surface)) if known else ""


def of_case(tx: Tx, found: Desk, case_id: int, number: str, most: int, step: int, *, whole: bool) -> View:
    """The letters about a case that had to be brought somewhere, newest first; not `whole`: without those of a track."""
    rows = letters.of_case(tx, case_id, most + 1, outside=True)
    rows = [row for row in rows if whole or not (row.kind in TRACK_NOTICES or row.doc.get("what") in TRACK)]
    shown: View = {"rows": [_row(found, row) for row in rows[:most]], "open": most > step}
    if len(rows) > most:
        href = f"/cases/{number}?letters={most + step}#letters"
        shown["more"] = {"label": found.t("これより前を見る"), "href": href}
    return shown


def _row(found: Desk, row: LetterRow) -> View:
    voice = found.voice
    glyph, tone = GLYPHS.get(row.state, ("clock", ""))
    return {
        "id": f"letter-{row.id}", "at": at(found, row.sent_at or row.created_at), "to": addressee(found, row),
        "kind": kind(found, row), "where": voice.label("platform", row.surface), "fate": fate(found, row),
        "glyph": glyph, "tone": tone,
        "again": found.t("再送") if row.resent else "",
    }  # fmt: skip


def addressee(found: Desk, row: LetterRow) -> str:
    """To whom: a person, an agency's room, or somebody whom nobody knows."""
    if row.to_staff or row.to_room:
        return found.voice.person(row.to_staff) if row.to_staff else found.voice.agency(row.to_room)
    return found.t("登録のない方")


def kind(found: Desk, row: LetterRow) -> str:
    """What it was about: a ring by what it asks."""
    if row.kind == "answer":
        return found.t("お返事")
    asked = f"ring.{row.doc.get('what')}.title"
    if row.kind == "ring" and found.voice.has(asked):
        return found.voice.say(asked)
    return found.voice.label("notice", row.kind)
