"""Chat platforms: each is one file here and one line of the registry."""

from typing import Final, NamedTuple


class Platform(NamedTuple):
    """Where a platform's class is, and how the environment variables begin (without TSUNAGI_) that turn it on."""

    place: str
    variables: str = ""  #: empty: a part of the system, always there


REGISTRY: Final[dict[str, Platform]] = {
    "web": Platform("adapters.webchat:WebChat"),
    "console": Platform("adapters.console:Console"),
    "slack": Platform("adapters.slack:Slack", "SLACK_"),
    "telegram": Platform("adapters.telegram:Telegram", "TELEGRAM_"),
    "line": Platform("adapters.line:Line", "LINE_"),
    "mail": Platform("adapters.mail:Mail", "SMTP_URL"),
}
