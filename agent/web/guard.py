"""The checks before every page (source, host name, token), and the headers of each answer.

The content security policy allows our own style sheet and script, and nothing inline or from elsewhere.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.web.access import COOKIE, Access

MAX_PATH = 4_096  # characters; the longest has a Call-ID
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """An application behind its checks."""

    OPEN = ("/login", "/healthz", "/static/page.css", "/static/page.js", "/static/icon.svg")

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in present
                ]
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        peer = request.client.host if request.client else ""
        if not self._access.lets_connect(peer):
            return PlainTextResponse("not from here\n", 403)
        if len(request.url.path) > MAX_PATH:
            return PlainTextResponse("no path of ours is that long\n", 414)
        if not self._access.knows_host(request.headers.get("host", ""), peer):
            return PlainTextResponse("Host is not known: set [web] public_url\n", 421)
        if request.method not in ("GET", "HEAD") and request.url.path != "/login":
            return PlainTextResponse("GET or HEAD\n", 405)
        if request.url.path in self.OPEN:
            return None
        cookie = request.cookies.get(COOKIE, "")
        if self._access.admits(cookie, request.headers.get("authorization", "")):
            return None
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("a token is needed: Authorization: Bearer ...\n", 401)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{self._access.root}/login?next={quote(path)}", 303)


def own_path(path: str) -> str:
    """The path on this site that a link names; a link elsewhere gives the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
