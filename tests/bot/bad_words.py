"""What somebody may type, paste or send by mistake or on purpose: for every door. No test here.

`{theirs}` stands for the number of a case that is none of the speaker's business, `{wrong}` for the same with a wrong check digit.
"""

EMOJI = "👨‍👩‍👧‍👦👩🏽‍🦽🏳️‍🌈🇯🇵"
BAD = {
    "nothing": "", "blanks": " \t\u3000\n ", "ten thousand letters": "あ" * 10_000, "one more": "辞退" + "あ" * 9_999, "a million": "x" * 1_000_000,
    "the longest that is read": "あ" * 2_000, "NUL": "引受\x00 \x00", "NULs alone": "\x00" * 50, "nothing to see": "\u200b\u200d\ufeff\u2060",
    "nothing to see in a word": "辞\u200b退", "marks of direction alone": "\u202e\u2066\u200f", "digits without end": "9" * 5_000, "full-width digits without end": "９" * 1_500,
    "an unknown word": "あれはどうなりましたか", "an unknown number in full width": "引受　３８５−２６７−５２", "full-width letters": "ＡＣＣＥＰＴ", "braces": "{} {0} {number!r:>99}",
    "a wrong check digit of a case": "終結 {wrong} 転出", "another agency's case": "引受 {theirs}", "another agency's case, all of it": "{theirs}",
    "another agency's end": "終結 {theirs} 転出", "another agency's consent": "同意 {theirs} あり", "another agency's urgency": "緊急 {theirs}",
    "control": "".join(map(chr, range(32))) + "\x7f\x9f", "emoji families": EMOJI, "right to left": "\u202e385-267-52 受引\u202c",
    "isolates": "\u2066辞退\u2069", "full width nonsense": "ＡＢＣ　１２３", "an ordinal alone": "#999", "a huge ordinal": "引受 #99999999999",
    "an absurd number": "引受 99999999999999999999999999", "a negative": "引受 -385-267-52", "a number with a wrong check": "引受 385-267-53",
    "a number that nobody has": "引受 385-267-52", "SQL": "'; DROP TABLE cases; --", "SQL in a word": "受付 介護'); DELETE FROM staff; --",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>", "HTML as an agency": "依頼 385-267-52 <b>就労</b> <i>若葉</i>",
    "format places": "依頼 {number} {0} {} %s %(x)s", "a path": "../../etc/passwd", "surrogates": "\ud800 引受", "combining": "が\u3099" * 300,
    "zalgo": "h̷̡̢̛" * 200, "an impossible day": "検討 385-267-52 2026-02-30", "the year ten thousand": "中断 385-267-52 10000-01-01",
    "the far future": "中断 385-267-52 2999-12-31", "days the wrong way round": "不在 6/12 6/10", "every word": "受付 引受 辞退 終結 承認", "a digit": "7", "zero": "0", "ten": "10",
    "send without a preview": "送る", "drop without one": "やめる", "undo without one": "取消", "a template": "{{ 7*7 }} ${jndi:ldap://x}", "slashes": "依頼 / / /",
    "commas": "受付 ,,,,、、、", "very many concerns": "受付 " + "介護 " * 500, "many agencies": "一斉依頼 385-267-52 就労相談 " + "若葉 " * 300,
    "a code nobody made": "登録 000-000-000", "JSON": '{"case": null}', "newlines": "引受\n385-267-52\n辞退", "mixed scripts": "引受 ٣٨٥-٢٦٧-٥٢",
    "circled digits": "引受 ③⑧⑤②⑥⑦⑤②", "a small two": "²", "one letter": "あ", "a question mark": "？", "a full stop": "。",
}  # fmt: skip
#: One of a kind, where the whole table would say the same again.
KINDS = (
    "nothing", "blanks", "the longest that is read", "NUL", "NULs alone", "nothing to see", "digits without end", "full-width digits without end", "braces", "control",
    "emoji families", "right to left", "an absurd number", "SQL", "HTML", "a path", "surrogates", "a template", "JSON", "newlines", "one letter", "a number that nobody has",
    "a small two",
)  # fmt: skip
