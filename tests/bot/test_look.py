"""The look keeps its promises: contrast of the tokens, and nothing loaded from another host."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

BOT = Path(__file__).parents[2] / "bot"
STATIC = BOT / "static"
TEMPLATES = BOT / "pages" / "templates"
TOKENS = (STATIC / "tokens.css").read_text(encoding="utf-8")

STAGES = ("intake", "untangling", "role_division", "support", "watching", "suspended", "closed")
TEXT = [
    *[("ink", on) for on in ("surface", "ground", "sunken", "ai-soft", "late-soft")],
    *[("ink-2", on) for on in ("surface", "ground", "sunken")],
    *[("ai", on) for on in ("surface", "ground", "ai-soft")],
    ("on-ai", "ai"),
    ("on-ai", "ai-hover"),
    ("ok", "ok-soft"),
    ("soon", "soon-soft"),
    ("soon", "surface"),
    ("late", "surface"),
    ("late", "late-soft"),
    ("late", "ground"),
    ("on-late", "late"),
    ("surface", "ink"),
    *[(f"stage-{stage}", on) for stage in STAGES for on in ("ground", "surface")],
    ("surface", "stage-role_division"),
]
BORDERS = [("edge", on) for on in ("surface", "ground", "sunken")] + [
    ("ring", "surface"),
    ("ring", "ground"),
    ("late", "surface"),
    ("ai", "surface"),
    ("soon", "soon-soft"),
]


def declared(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", block))


def block_after(opening: str) -> dict[str, str]:
    start = TOKENS.index(opening) + len(opening)
    return declared(TOKENS[start : TOKENS.index("}", start)])


LIGHT = block_after(":root {")
DARK = LIGHT | block_after('\n:root[data-theme="dark"] {')
THEMES = {"light": LIGHT, "dark": DARK}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def ratio(one: str, other: str) -> float:
    dim, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("text", "on"), TEXT)
def test_text_can_be_read(theme: str, text: str, on: str) -> None:
    assert ratio(THEMES[theme][text], THEMES[theme][on]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("border", "on"), BORDERS)
def test_borders_can_be_seen(theme: str, border: str, on: str) -> None:
    assert ratio(THEMES[theme][border], THEMES[theme][on]) >= 3


def test_the_ratios_are_measured_as_wcag_measures_them() -> None:
    assert ratio("#000000", "#FFFFFF") == pytest.approx(21)
    assert ratio(LIGHT["ink"], LIGHT["surface"]) == pytest.approx(16.1, abs=0.06)
    assert ratio(DARK["ai"], DARK["on-ai"]) == pytest.approx(8.6, abs=0.06)


def test_both_ways_into_the_dark_lead_to_the_same_dark() -> None:
    assert block_after(':root:not([data-theme="light"]) {') == block_after('\n:root[data-theme="dark"] {')


def test_every_colour_that_is_used_is_a_token() -> None:
    sheet = (STATIC / "tsunagi.css").read_text(encoding="utf-8")
    local = {"stage", "from", "to"}
    assert set(re.findall(r"var\(--([\w-]+)", sheet)) <= set(LIGHT) | local
    screen = sheet[: sheet.index("/* ── Paper")]
    assert re.findall(r"#[0-9A-Fa-f]{3,8}\b", screen) == []


def test_a_bar_can_begin_and_end_at_every_percent() -> None:
    steps = (STATIC / "scale.css").read_text(encoding="utf-8")
    assert {int(n) for n in re.findall(r"\.f-(\d+) \{ --from: \1 \}", steps)} == set(range(101))
    assert {int(n) for n in re.findall(r"\.t-(\d+) \{ --to: \1 \}", steps)} == set(range(101))


def sources() -> list[Path]:
    return sorted([*STATIC.iterdir(), TEMPLATES / "base.html", *(TEMPLATES / "parts").iterdir()])


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_nothing_is_loaded_from_another_host_and_nothing_is_inline(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(\s*['\"]?//|@import|eval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=\"|\son\w+=\"|<script(?![^>]*\ssrc=\"/static/)", text)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_glyph_and_a_word(stage: str) -> None:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    environment.globals["t"] = str
    drawn = str(environment.get_template("parts/marks.html").module.stage(stage, "ことば"))  # type: ignore[attr-defined]
    assert "<svg" in drawn and 'aria-hidden="true"' in drawn and "ことば" in drawn


def test_the_script_stays_small() -> None:
    assert len((STATIC / "tsunagi.js").read_text(encoding="utf-8").splitlines()) <= 500
