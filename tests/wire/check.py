"""What the platforms' own types say of a payload; the schemas are made by make.py."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

HERE = Path(__file__).parent


@cache
def _schemas() -> dict[str, Draft7Validator]:
    found: dict[str, Draft7Validator] = {}
    for kind in ("outgoing", "incoming"):
        whole = json.loads((HERE / f"{kind}.json").read_text(encoding="utf-8"))
        for name, schema in whole["properties"].items():
            found[name] = Draft7Validator({**schema, "definitions": whole["definitions"]})
    return found


def known(name: str) -> bool:
    return name in _schemas()


def fault(name: str, payload: Any) -> str:
    """Say what is wrong with a payload ("line.push", "telegram.update", …) and where; empty: nothing."""
    worst = best_match(_schemas()[name].iter_errors(payload))
    return "" if worst is None else f"{name} {worst.json_path}: {worst.message[:400]}"


def sound(name: str, payload: Any) -> Any:
    """Answer a payload that a test invents. Raises AssertionError for what the platform would never say.

    Slack says null where its types say that something may be missing.
    """
    wrong = fault(name, {k: v for k, v in payload.items() if v is not None})
    assert not wrong, wrong
    return payload
