"""Settings from the environment (prefix TSUNAGI_, a .env file is read). Every variable stands in deploy/tsunagi.env.example."""

import os
import re
import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

SECRET_LETTERS: Final = 32
#: How the variables of the platforms outside begin.
_OF_PLATFORMS: Final = ("slack_", "telegram_", "line_", "smtp_", "mail_")
#: Read by the bench and the tests, not by an operator's programs.
_ELSEWHERE: Final = frozenset({"TSUNAGI_TEST_DATABASE_URL", "TSUNAGI_PICTURES"})


class NoSecretKey(Exception):
    """A server that is not on loopback needs TSUNAGI_SECRET_KEY: put 32 random characters or more there."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class ShortSecretKey(Exception):
    """TSUNAGI_SECRET_KEY is too short to sign anything with: put 32 random characters or more there (openssl rand -hex 32)."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


_NOTHING: Final = SecretStr("")


class Settings(BaseSettings):
    """What an operator decides; nothing here is about a town."""

    model_config = SettingsConfigDict(env_prefix="TSUNAGI_", env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: str = "sqlite:///var/tsunagi.db"
    base_url: str = ""
    secret_key: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    town: Path | None = None  #: the town file, loaded at start when the database has none
    log_format: Literal["text", "json"] = "text"
    anchors: Path | None = None  #: where the ends of the days' looks are written down; anchors/ beside the key files
    slack_bot_token: SecretStr = _NOTHING
    slack_signing_secret: SecretStr = _NOTHING
    slack_app_token: SecretStr = _NOTHING
    slack_api_url: str = ""
    telegram_bot_token: SecretStr = _NOTHING
    telegram_secret_token: SecretStr = _NOTHING
    telegram_api_url: str = ""
    line_channel_access_token: SecretStr = _NOTHING
    line_channel_secret: SecretStr = _NOTHING
    line_api_url: str = ""
    smtp_url: SecretStr = _NOTHING
    mail_from: str = ""
    heartbeat_url: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = _NOTHING
    oidc_claim: str = "email"

    @field_validator("base_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        """Links are made by joining: what is not a web address would go out in letters as a link that opens nothing."""
        if url and not re.match(r"https?://[^/\s]", url):
            raise ValueError("a web address begins with http:// or https://, as in https://tsunagi.example.jp")
        return url.rstrip("/")

    @field_validator("heartbeat_url")
    @classmethod
    def _pinged(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/\s]", url):
            raise ValueError("the address to be pinged begins with http:// or https://")
        return url

    @property
    def loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def var(self) -> Path:
        """Where the key files lie: beside the SQLite file, else under var/."""
        if self.database_url.startswith("sqlite:///"):
            return Path(self.database_url.removeprefix("sqlite:///")).parent
        return Path("var")

    @property
    def platforms(self) -> dict[str, str]:
        """What the platforms outside are told: the variables that are set, by their names without TSUNAGI_."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name.startswith(_OF_PLATFORMS)}
        plain = {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in given.items()}
        return {name.upper(): value for name, value in plain.items() if value} | {"BASE_URL": self.address}

    def secret(self) -> str:
        """The secret that signs sessions and links; on loopback it is made into var/secret at first start.

        Raises NoSecretKey for a server that others can reach, ShortSecretKey for one that can be guessed.
        """
        if self.secret_key:
            given = self.secret_key.get_secret_value()
            if len(given) < SECRET_LETTERS:
                raise ShortSecretKey
            return given
        if not self.loopback:
            raise NoSecretKey
        path = self.var / "secret"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        return path.read_text()

    @property
    def address(self) -> str:
        """Where people reach us: for links and for the line printed at start."""
        return self.base_url or f"http://{self.host}:{self.port}"


def not_read() -> list[str]:
    """The TSUNAGI_ variables of the environment and of .env that no part of this version reads: misspelt, or of a later one."""
    known = {f"TSUNAGI_{name.upper()}" for name in Settings.model_fields} | _ELSEWHERE
    given = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    return sorted(name for name in given if name.startswith("TSUNAGI_") and name not in known)
