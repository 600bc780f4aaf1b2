"""Chat platforms. The registry: one line a platform."""

REGISTRY: dict[str, str] = {
    "web": "adapters.webchat:WebChat",
    "console": "adapters.console:Console",
}
