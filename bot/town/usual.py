"""What a town file need not say: the usual values (bot/defaults.toml and the ladders of workflow/ladder.py)."""

import json
import tomllib
from functools import cache
from pathlib import Path as File

from bot.town.clerk import DERIVED, WAITS
from bot.town.entries import CODE, CODE_LISTS, DUTY, Doc, Page
from workflow.ladder import DEFAULTS, Policy, Rung


@cache
def _text() -> str:
    return File(__file__).with_name("defaults.toml").read_text("utf-8")


@cache
def usual() -> Doc:
    """Return the usual values, each entry of a code list complete. Shared: copy before changing."""
    raw = tomllib.loads(_text())
    page = Page({}, "defaults.toml")
    for kind in CODE_LISTS:
        shape = DUTY if kind == "duty" else CODE
        raw[kind] = [page.entry((kind, i), one, shape) for i, one in enumerate(raw[kind])]
    return raw


def usual_waits() -> Doc:
    """Return the usual policies as a document."""
    return {kind: _plain_policy(policy) for kind, policy in DEFAULTS.items()}


def defaults() -> str:
    """Return the usual values as the text of a town file, with comments (`tsunagi town show --defaults`)."""
    waits = "\n\n".join(_wait_text(kind, policy) for kind, policy in usual_waits().items())
    return f"{_text()}\n{waits}\n"


def _wait_text(kind: str, policy: Doc) -> str:
    lines = [f"[waits.{kind}]  # {WAITS.get(kind, kind)}"]
    lines += [f"{key} = {json.dumps(policy[key])}" for key in ("normal", "high", "emergency") if policy[key]]
    for key in ("rungs", "emergency_rungs"):
        if policy[key]:
            lines += [f"{key} = [", *(f"    {_rung_text(rung)}," for rung in policy[key]), "]"]
    return "\n".join(lines)


def _rung_text(rung: Doc) -> str:
    said = ", ".join(f"{key} = {json.dumps(value)}" for key, value in rung.items() if value)
    return f"{{ {said} }}"


def _plain_policy(policy: Policy) -> Doc:
    return {
        "normal": policy.normal,
        "high": policy.high,
        "emergency": policy.emergency,
        "rungs": [_plain_rung(rung) for rung in policy.rungs],
        "emergency_rungs": [_plain_rung(rung) for rung in policy.emergency_rungs],
    }


def _plain_rung(rung: Rung) -> Doc:
    return {"at": rung.at, "to": list(rung.to), "act": rung.act, "high": rung.high, "emergency": rung.emergency}


def show(doc: Doc) -> str:
    """Write a kept document as a town file: what `read` would make the same document of; marks only where they are the town's own."""
    import tomlkit  # only here: it is slow to import

    out: Doc = {
        **({} if doc["marks"] == usual()["marks"] else {"marks": doc["marks"]}),
        "municipality": {k: v for k, v in doc["municipality"].items() if k not in DERIVED},
    }
    for kind in ("agency", "staff", "oncall", *CODE_LISTS):
        out[kind] = [entry if kind in CODE_LISTS else _said(entry) for entry in doc[kind]]
        codes = {entry["code"] for entry in doc[kind]} if kind in CODE_LISTS else set()
        out[kind] += [{"code": e["code"], "use": False} for e in usual().get(kind, []) if e["code"] not in codes]
    out["report"] = doc.get("report") or usual()["report"]
    out |= {key: doc[key] for key in ("waits", "stages", "sentences", "limits")}
    out["retention"] = doc.get("retention") or usual()["retention"]
    return tomlkit.dumps(out)


def _said(entry: Doc) -> Doc:
    return {key: value for key, value in entry.items() if value not in (None, "", [], {})}
