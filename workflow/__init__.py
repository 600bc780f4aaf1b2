"""What a consultation is, and every decision about one: pure values, no clock, no database, no network.

Glossary (the field's words and the names they have in this code; add a word here before using it elsewhere)

| 日本語 | name | what it is |
|---|---|---|
| 相談・事例 | Case | one episode of one household, from 受付 to 終結 |
| 世帯 | household | whose case it is; several episodes may be linked |
| 段階 | stage | where the case stands: intake untangling role_division support watching suspended closed |
| つなぎ | Handoff | an offer of a duty (or of the lead) to an agency, and what became of it |
| 役割 | Duty | what can be asked for: 就労相談, 見守り (`watch`), 主担当 (`lead`) |
| 職 | Role | what a member of staff is: staff head coordinator official watcher host admin privacy |
| 主担当 / 仮担当 | lead / interim | the one person responsible / the coordinating body holding it meanwhile |
| 見届け役 | sender | who offered; stays on until the receiver's first report has come back |
| 担当 | holder | the person who accepted a duty |
| 困りごと | Issue | one strand of the household's troubles with the person's own wish |
| 必要 | Need | (case, duty): who was asked for it and what they answered |
| 次の約束 | Wait | something somebody has to do until a due time, with rungs that end at a human |
| 段 | Rung | whom a wait tells, and when |
| 時計 | timer | the next instant at which a wait rings |
| 知らせ | Notice | what to tell to whom, decided here, delivered elsewhere |
| 手紙 | letter | a notice on its way to one reader on one surface |
| 記録 | Entry | one line of a case's journal |
| 定期確認 | check-in | the scheduled question 「会えましたか」 to each active holder |
| 限定 | restricted | known to the team alone, not by post or agency |
| 見る調整役 | overseer | the one coordinator, by name, of a restricted case |
| 緊急閲覧 | opening | somebody beside the team may know a restricted case for a while |
| 除く | barred | an agency that serves the other party: it is not asked and knows nothing |
| 守る印 | flag | 支援措置, 避難中: stands wherever the case is shown inside |
| 見える範囲 | Sight | through whose eyes a list is made, and why they may know a case |
| 支援会議 / 重層的支援会議 | Conference support_106_6 / coordination | the city's (106条の6, secrecy) / the coordinator's (consent) |
| 守秘の確認 | pledge | what a member signs before the documents of a 支援会議 open to them |
| 支援プラン | Plan | one version of it; of a kind one is the current one |
| 打診 | capacity_ask | an anonymous, non-binding question about room |
| 根拠・共有できる理由 | basis | why something may be shared with this receiver |
| 世帯の方 | Person | one member of a household |
| 同意(お一人ずつ) / 同意なし | Agreement / Missing | what one person agreed to, to whom and until when / why they have not |
| うかがったこと | Item | one sealed piece of what is known, with its basis |
| 支援会議の構成員 | member | of the conference where an item was learned: 106条の6 stays among them |
| 統合 / 分離 | Merge / split | two households read as one / that undone, for thirty days |
| 目印 | mark | a reader's own flower, bird or tree for a case |
| 気づき / 場 | observation / gathering | a resident's observation / a meeting place (not a notice, not a platform) |

A handoff is never called a transition: the state machine has that word.
"""
