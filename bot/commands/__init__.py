"""The book of commands: one function a command, its decorator says the rest. Importing the rooms of the book fills it."""

from bot.commands import case_words, confidence, everyone, holder, lead, offers, official, reports  # noqa: F401  # they fill the book
from bot.commands.book import BOOK, FORMS, Command, command

__all__ = ["BOOK", "FORMS", "Command", "command"]
