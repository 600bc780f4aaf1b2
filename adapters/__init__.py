"""Chat platforms. The registry: one line a platform; a module is imported only when it is configured."""

REGISTRY: dict[str, str] = {
    "web": "adapters.webchat:WebChat",
    "console": "adapters.console:Console",
}
