"""English words of the board, the list of cases, 今日 and what is printed."""

from typing import Final

UI: Final[dict[str, str]] = {
    "{body}(仮)": "{body} (interim)",
    "{post}の{person}へ": "To {person}, {post}",
    "{who}に知らせました": "told: {who}",
    "「{q}」は見つかりませんでした。": "Nothing was found for “{q}”.",
    "お返事": "Answer",
    "お名前・住所は載せていません。机の上に置いたままにしないでください。":
        "No names or addresses are printed here. Please do not leave it on a desk.",
    "あすまで": "By tomorrow",
    "いま手を打つ": "Act now",
    "こちらのことでしょうか。": "Did you mean this one?",
    "この条件の相談は、いまありません。": "No cases like this now.",
    "この数日の定期確認": "Check-ins of the next days",
    "このあと、あと{n}つあります。": "{n} more after this one.",
    "しばらくお休みします": "I shall rest for a while",
    "ページ": "Pages",
    "今日の一覧": "Today's list",
    "印刷 {name} {moment}": "Printed by {name}, {moment}",
    "可 {n}機関": "Yes, {n} agencies",
    "回答なし": "no answer",
    "打診の答えは、まだありません。": "No answers about room yet.",
    "持ち件数と空き状況": "Cases by agency, and room",
    "条件をへらすと見つかることがあります。": "With fewer filters you may find it.",
    "次の50件": "Next 50",
    "前の50件": "Previous 50",
    "番号か目印でさがす": "Find by number or mark word",
    "番号は3桁-3桁-2桁です。目印は、あなただけのことばです。":
        "A number is 3-3-2 digits. A mark word is yours alone.",
    "見て答える": "Look and answer",
    "質問の回答を待つあいだ、時計は止まります": "The clock stands still while a question waits for its answer",
    "電話がほしい": "Please call me",
}  # fmt: skip
