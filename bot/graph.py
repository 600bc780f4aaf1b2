"""The three graphs as published: `tsunagi graph`."""

from workflow.path import FINAL, GRAPHS, INITIAL, STATES, Graph

_LABELS = {
    "case": dict(zip(STATES["case"], ("受付", "ほぐし", "役割分担", "支援", "見守り", "中断", "終結"), strict=True)),
    "handoff": {
        "offered": "回答待ち", "considering": "検討中", "info_requested": "質問への回答待ち", "waitlisted": "空き待ち",
        "conditional": "条件の確認待ち", "accepted": "引受済", "active": "対応中", "on_hold": "一時休み", "declined": "辞退",
        "withdrawn": "取下げ", "expired": "回答なし", "released": "調整役へ戻し", "completed": "役割終了", "failed": "つながらず",
        "mistake": "誤登録",
    },
    "issue": {"open": "担い手をさがす", "held": "担い手あり", "gap": "資源の不足", "not_wanted": "望まれない", "settled": "解決"},
}  # fmt: skip


def as_json() -> dict[str, object]:
    """The machines as contracts.md promises: one row per (from, event, to)."""
    return {"machines": [_machine(name) for name in GRAPHS]}


def _machine(name: Graph) -> dict[str, object]:
    return {
        "name": name,
        "initial": INITIAL[name],
        "final": list(FINAL[name]),
        "states": [{"id": s, "label": _LABELS[name][s]} for s in STATES[name]],
        "transitions": [
            {"from": e.source, "event": e.event, "to": e.dest, "actors": list(e.actors), "guards": list(e.guards)}
            for e in GRAPHS[name]
        ],
    }


def as_mermaid() -> str:
    """Three state diagrams; a mermaid viewer draws them."""
    lines = []
    for name, edges in GRAPHS.items():
        lines += [f"%% {name}", "stateDiagram-v2"]
        lines += [f"    {s} : {_LABELS[name][s]}" for s in STATES[name]]
        lines += [f"    {e.source or '[*]'} --> {e.dest} : {e.event}" for e in edges]
        lines += [f"    {s} --> [*]" for s in FINAL[name]]
    return "\n".join(lines)
