"""Settings from the environment (prefix TSUNAGI_, a .env file is read). Every variable stands in deploy/tsunagi.env.example."""

import os
import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class NoSecretKey(Exception):
    """A server that is not on loopback needs TSUNAGI_SECRET_KEY: put 32 random characters or more there."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


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

    def secret(self) -> str:
        """The secret that signs sessions and links; on loopback it is made into var/secret at first start.

        Raises NoSecretKey for a server that others can reach.
        """
        if self.secret_key:
            return self.secret_key.get_secret_value()
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
