"""Why somebody may know a case, in words."""

from datetime import datetime

from bot.voice.speech import Voice
from workflow.sight import Why


def worded(why: Why, voice: Voice, now: datetime) -> str:
    """「主担当だから」「緊急閲覧中(あと3時間)」."""
    left = voice.left(why.until, now).text if why.until else ""
    return voice.say(f"why.{why.code}", left=left)
