"""Every address of the router: the pages to look at, and why the others are none."""

#: A route to the addresses under which it is looked at; {number} is a case's.
PAGES = {
    "/chat": ("/chat", "/chat?room=me"),
    "/board": ("/board",),
    "/cases": ("/cases",),
    "/cases/{number}": ("/cases/{number}",),
    "/intake": ("/intake",),
    "/today": ("/today",),
    "/today/print": ("/today/print",),
    "/handover": ("/handover",),
    "/town": ("/town",),
    "/links": ("/links",),
    "/stuck": ("/stuck",),
    "/help": ("/help",),
    "/sign-in": ("/sign-in",),
}
NO_PAGE = {
    "/": "sends on to the chat or the one question",
    "/signin": "the door under its other spelling",
    "/chat/say": "takes a form and sends back",
    "/town/invite": "takes a form; its answer is looked at by pressing",
    "/town/back": "takes a form and sends back",
    "/links/line": "opened by LINE with its own token; looked at in tests/bot",
    "/links/paper": "takes a form; its answer is a sheet to print",
    "/go/{token}": "opened by a mail's link; looked at in tests/bot",
    "/sign-out": "takes a form and sends to the door",
    "/theme": "takes a form and sends back",
    "/demo/clock": "takes a form and sends back, or JSON",
    "/events": "a line of events",
    "/healthz": "for machines",
    "/readyz": "for machines",
    "/metrics": "for machines",
    "/static": "the assets",
}
