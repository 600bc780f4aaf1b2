from bot.voice import ja

SENTENCES = ja.SENTENCES
LABELS: dict[str, dict[str, str]] = {}
UI: dict[str, str] = {}
