"""The pages: routes, and their queries to the store.

A few threads of our own read the store, each with its connection; nothing is ever written.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agent.errors import ConfigError
from agent.model.units import MINUTE_NS
from agent.store.call_query import CallQuery
from agent.store.database import Corrupt, Unwritable
from agent.store.reader import CallPage, StoreReader
from agent.story.diagnoses import findings
from agent.story.path import path_of
from agent.story.verdict import verdict
from agent.summary.printable import printable
from agent.summary.redaction import Redaction
from agent.web.access import COOKIE, Access
from agent.web.call_picture import CallPicture, call_picture
from agent.web.guard import Guard, own_path
from agent.web.overview_view import HOURS, WORST, Overview, overview
from agent.web.rendering import environment, static_text
from agent.web.report import report_page
from agent.web.searching import others, understand

THREADS = 3  # readers of the store: more would only wait for the interpreter's lock
PAGE = 50  # calls
REFRESH_S = 10  # of a call in progress, and of the overview
OLD_NS = 3 * MINUTE_NS  # since the newest minute: then the daemon is not running, or behind
MAX_FORM = 4_096  # octets of a form: a token and an address
SORTS = (("start", "newest first"), ("mos", "worst MOS first"), ("loss", "most lost first"))
STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
# The pcapng of a call, by its Call-IDs; None where there is none.
PacketsOf = Callable[[list[str]], Path | None]


def no_evidence(call_ids: list[str]) -> Path | None:
    """The evidence of a store without any."""
    return None


class Site:
    """The pages of one store."""

    def __init__(
        self,
        path: Path,
        access: Access,
        redaction: Redaction,
        evidence: PacketsOf = no_evidence,
    ) -> None:
        """Raises: ConfigError where `path` has no store, or an unreadable one."""
        self._path = path
        self._guard = Lock()
        self._opened = StoreReader(path)
        self._inode = _identity(path)
        self._overviews: dict[int, tuple[int, Overview]] = {}  # by hours: until when, and what it shows
        self._access = access
        self._redaction = redaction
        self._evidence = evidence
        self._templates = environment()
        for name in self._templates.list_templates():
            self._templates.get_template(name)  # compiled now, so that the first reader need not wait
        self._static = {name: static_text(name) for name in STATIC}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    def app(self) -> ASGIApp:
        """The application, behind its checks."""
        pages: tuple[tuple[str, Callable[[Request], Response]], ...] = (
            ("/", self._overview),
            ("/calls", self._calls),
            ("/call/{number:int}", self._call),
            ("/call/{number:int}/call.json", self._json),
            ("/call/{number:int}/report.html", self._report),
            ("/call/{number:int}/evidence.pcapng", self._pcapng),
            ("/call-id/{call_id:path}", self._by_call_id),
            ("/static/{name}", self._file),
        )
        routes = [Route(path, self._in_thread(page)) for path, page in pages]
        routes += [
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/healthz", lambda request: PlainTextResponse("ok\n")),
        ]
        return Guard(Starlette(routes=routes, exception_handlers={404: self._not_found}), self._access)

    def close(self) -> None:
        self._threads.shutdown()
        self._opened.close()

    @property
    def _reader(self) -> StoreReader:
        """The store. A file that was replaced (the daemon sets a damaged one aside) is opened anew.

        Raises: ConfigError where it is missing or unreadable.
        """
        with self._guard:
            if (now := _identity(self._path)) != self._inode:
                self._opened, self._inode = StoreReader(self._path), now
                self._overviews.clear()
            return self._opened

    def _in_thread(self, page: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, page, request)
            except (ConfigError, Corrupt, Unwritable, sqlite3.Error) as error:
                text = f"The store could not be read: {error}. Is the daemon running, and is its disk well?"
                return self._message(503, "No store", text)

        return answer

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        shown = {"root": self._access.root, "here": "", "q": "", "autofocus": False, "refresh": 0, "pre": ""}
        text = self._templates.get_template(template).render(shown | values)
        return Response(text, status, media_type="text/html")

    def _message(self, status: int, title: str, text: str) -> Response:
        return self._page("message.html", status, title=title, text=text)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        return self._message(404, "Not here", "There is no such page. The search box finds calls.")

    # Pages

    def _overview(self, request: Request) -> Response:
        asked = request.query_params.get("hours", "")
        hours = int(asked) if asked in map(str, HOURS) else HOURS[1]
        until_ns = self._reader.newest_ns() or 0
        shown = self._shown(until_ns, hours)
        since_ns = shown.axis.start_ns
        gaps = [gap for gap in self._reader.gaps(since_ns, until_ns) if not gap.sink][-WORST:]
        return self._page(
            "overview.html",
            here="overview",
            refresh=REFRESH_S * 3,
            autofocus=True,
            axis=shown.axis,
            groups=shown.groups,
            others=shown.others,
            more=len(shown.others),
            capture=shown.capture,
            worst=shown.worst,
            gaps=gaps,
            hours=hours,
            choices=HOURS,
            age_ns=time.time_ns() - until_ns,
            old_ns=OLD_NS,
        )

    def _shown(self, until_ns: int, hours: int) -> Overview:
        """The overview until a minute's end: drawn once, however many look at it before the next minute."""
        reader = self._reader
        known = self._overviews.get(hours)
        if known is None or known[0] != until_ns:
            known = self._overviews[hours] = until_ns, overview(reader, until_ns, hours)
        return known[1]

    def _calls(self, request: Request) -> Response:
        text = request.query_params.get("q", "")[:512]
        sort = request.query_params.get("sort", "")
        sort = sort if sort in dict(SORTS) else "start"
        after = request.query_params.get("after", "")
        query = CallQuery(sort=sort, limit=PAGE, after=after)  # type: ignore[arg-type]
        found = understand(text, query, self._reader.known_ns() or 0)
        note = ""
        try:
            page = self._reader.search(found.query)
            for other in others(found.query, text) if not page.calls and not after else ():
                page = self._reader.search(other)
                if page.calls:
                    note = "found as a Call-ID, a user or a transaction"
                    break
        except ValueError:
            return self._message(400, "Not a page", "That is no mark of a page of calls. Search again.")
        if page.number and page.number != found.query.number and found.query.number:
            note = f"found by the last digits {page.number}"

        def link(**values: str) -> str:
            return urlencode({key: value for key, value in ({"q": text} | values).items() if value})

        return self._page(
            "calls.html",
            here="calls",
            q=text,
            autofocus=not text,
            calls=page.calls,
            words=found.words,
            ignored=found.ignored,
            note=note,
            whole_id=bool(found.query.call_id),
            sort=sort,
            sorts=SORTS,
            links={key: link(sort=key) for key, _ in SORTS},
            first=link(sort=sort) if after else "",
            next=link(sort=sort, after=page.next) if page.next else "",
            limit=PAGE,
        )

    def _call(self, request: Request) -> Response:
        number = request.path_params["number"]
        view = self._view(number)
        if view is None:
            return self._gone()
        return self._page(
            "call.html",
            id=number,
            view=view,
            refresh=REFRESH_S if view.is_growing else 0,
            has_evidence=self._packets(number) is not None,
        )

    def _packets(self, number: int) -> Path | None:
        stored = self._reader.call(number) if number < 1 << 63 else None
        return None if stored is None else self._evidence(stored.records.call["call_ids"])

    def _view(self, number: int) -> CallPicture | None:
        stored = self._reader.call(number) if number < 1 << 63 else None
        return None if stored is None else call_picture(stored.records, self._redaction)

    def _gone(self) -> Response:
        return self._message(404, "No such call", "The store has no call of this number (any more).")

    def _json(self, request: Request) -> Response:
        stored = self._reader.call(request.path_params["number"] % (1 << 63))
        if stored is None:
            return self._gone()
        records = stored.records
        messages = [
            message | {"sip_message": self._redaction.text(message["sip_message"].encode("utf-8", "replace"))}
            for message in records.messages
        ]
        body = {
            "verdict": verdict(records),
            "text": verdict(records).text,
            "index": stored.index,
            "path": path_of(records),
            "diagnoses": findings(records),
            "records": replace(records, messages=messages),
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    def _report(self, request: Request) -> Response:
        number = request.path_params["number"]
        view = self._view(number)
        if view is None:
            return self._gone()
        return Response(
            report_page([view], source="from the store"),
            media_type="text/html",
            headers={
                "Content-Disposition": f'attachment; filename="call-{number}.html"',
                "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
            },
        )

    def _pcapng(self, request: Request) -> Response:
        number = request.path_params["number"]
        path = self._packets(number)
        try:
            data = path.read_bytes() if path is not None else None
        except OSError:  # its time came between
            data = None
        if data is None:
            return self._message(404, "No evidence", "No packets of this call were kept.")
        headers = {"Content-Disposition": f'attachment; filename="call-{number}.pcapng"'}
        return Response(data, media_type="application/octet-stream", headers=headers)

    def _by_call_id(self, request: Request) -> Response:
        """The newest call of a Call-ID, else of a transaction id, for links from records elsewhere."""
        call_id = request.path_params["call_id"]
        page: CallPage = self._reader.search(CallQuery(call_id=call_id, limit=1))
        if not page.calls:
            page = self._reader.search(CallQuery(transaction_id=call_id, limit=1))
        if not page.calls:
            text = f"No call with the Call-ID {printable(call_id)} is in the store (any more)."
            return self._message(404, "No such call", text)
        return RedirectResponse(f"{self._access.root}/call/{page.calls[0].id}", 303)

    def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return self._message(404, "Not here", "There is no such file.")
        return Response(
            self._static[name], media_type=STATIC[name], headers={"Cache-Control": "private, max-age=300"}
        )

    # The token

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return self._page("login.html", next=own_path(request.query_params.get("next", "")), wrong=False)
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_FORM:
                    return self._message(413, "Too long", "That is no token.")
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        form = {key: values[0] for key, values in parse_qs(body.decode("latin-1")).items()}
        path = own_path(form.get("next", ""))
        if not self._access.is_token(form.get("token", "")):
            await asyncio.sleep(1.0)  # a guesser waits
            return self._page("login.html", 403, next=path, wrong=True)
        answer = RedirectResponse(self._access.root + path, 303)
        answer.set_cookie(
            COOKIE,
            self._access.cookie,
            httponly=True,
            samesite="strict",
            secure=self._access.is_https,
            path=self._access.root or "/",
        )
        return answer


def _identity(path: Path) -> tuple[int, int] | None:
    """The file that a path names now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
