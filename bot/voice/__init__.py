"""How Tsunagi speaks: sentences, labels, days, names. A town may reword any sentence; a language that lacks one speaks Japanese."""

from bot.voice.speech import LANGUAGES, Left, Voice, fields, languages, voice_for

__all__ = ["LANGUAGES", "Left", "Voice", "fields", "languages", "voice_for"]
