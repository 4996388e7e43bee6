"""Records into ClickHouse over HTTP: one insert a minute and kind.

An insert carries a token, the digest of its content. ClickHouse drops a block with a known token, also on the
way into the roll-ups. So a batch that is sent again after a lost answer is stored once.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from agent.errors import SinkError
from agent.sinks.archive import DUE_BYTES, DUE_ROWS, INTERVAL_S, LANE, LEVEL, lines_of
from agent.sinks.verdict import MAX_AGE_S, MAX_AHEAD_S, ErrorRule, SinkLimits, Verdict
from agent.store import UNASSIGNED, Draft, OutboxRow
from agent.store.codec import GZIP

if TYPE_CHECKING:
    from urllib3 import PoolManager

KINDS = ("media", "calls", "sip")
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3.0, 30.0
_INSERT = {
    "async_insert": "0",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "input_format_skip_unknown_fields": "1",  # a newer host may have more fields than the table
    "input_format_parallel_parsing": "0",  # the same content makes the same blocks
    "wait_end_of_query": "1",
}
# ClickHouse's error codes.
_CODES = {
    60: ErrorRule.SETTINGS,  # no such table
    81: ErrorRule.SETTINGS,  # no such database
    192: ErrorRule.CREDENTIALS,
    193: ErrorRule.CREDENTIALS,
    194: ErrorRule.CREDENTIALS,
    497: ErrorRule.CREDENTIALS,  # access denied
    516: ErrorRule.CREDENTIALS,
    201: ErrorRule.THROTTLED,  # quota
    202: ErrorRule.THROTTLED,  # too many queries
    241: ErrorRule.THROTTLED,  # memory
    252: ErrorRule.THROTTLED,  # too many parts
}


class ClickHouseError(Exception):
    """An answer without success. `code` is ClickHouse's own, 0 where there is none."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status, self.code = status, code


class ClickHouse:
    """One server, or a load balancer before several.

    Raises SinkError where the URL or a name is malformed.
    """

    def __init__(self, url: str, database: str, user: str = "default", password: str = "") -> None:
        import urllib3

        if not re.fullmatch(r"https?://[^/?#]+/?", url):
            raise SinkError(f"{url!r} is no ClickHouse: write it as https://host:8443")
        if not re.fullmatch(r"[A-Za-z_]\w{0,63}", database):
            raise SinkError(f"{database!r} cannot name a database: letters, digits and _ only")
        self._url = url.rstrip("/")
        self.database = database
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        self._pool: PoolManager = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=2)

    def ask(self, query: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """The answer to a query, whose `{name:Type}` are `parameters`. Raises ClickHouseError, HTTPError."""
        given = {f"param_{name}": value for name, value in (parameters or {}).items()}
        return self._post({"wait_end_of_query": "1", **given}, query.encode(), {})

    def insert(self, table: str, token: str, gzipped: bytes) -> None:
        """Insert JSON lines. Raises ClickHouseError, HTTPError."""
        query = f"INSERT INTO {self.database}.{table} FORMAT JSONEachRow"
        options = {"query": query, "insert_deduplication_token": token, **_INSERT}
        self._post(options, gzipped, {"Content-Encoding": "gzip"})

    def _post(self, options: Mapping[str, str], body: bytes, more: Mapping[str, str]) -> bytes:
        answer = self._pool.request(
            "POST", f"{self._url}/?{urlencode(options)}", body=body, headers={**self._headers, **more}
        )
        code = answer.headers.get("X-ClickHouse-Exception-Code", "")
        if answer.status != 200 or code:
            text = answer.data.decode(errors="replace")
            raise ClickHouseError(answer.status, int(code) if code.isdigit() else 0, text)
        return bytes(answer.data)


class ClickHouseSink:
    """Each batch is one insert of one kind."""

    name = "clickhouse"
    limits = SinkLimits(MAX_AGE_S, MAX_AHEAD_S, DUE_ROWS, DUE_BYTES, INTERVAL_S)

    def __init__(self, server: ClickHouse, *, host: str, kinds: Sequence[str] = KINDS) -> None:
        self.kinds = tuple(kinds)
        self._server = server
        self._host = host

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows by kind and day, which is a partition there. `unassigned` is not exported."""
        grouped: dict[tuple[str, int], list[OutboxRow]] = {}
        for row in rows:
            if row.connector != UNASSIGNED:
                grouped.setdefault((row.kind, row.minute_ns // DAY_NS), []).append(row)
        return [self._draft(kind, group) for (kind, _), group in grouped.items()]

    def _draft(self, kind: str, rows: Sequence[OutboxRow]) -> Draft:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        body = b"".join([*(packer.compress(lines_of(row, self._host)) for row in rows), packer.flush()])
        first_ns, last_ns = min(r.minute_ns for r in rows), max(r.minute_ns for r in rows)
        item = {
            "first_ns": first_ns,
            "records": sum(row.records for row in rows),
            "token": blake2b(body, digest_size=16).hexdigest(),
            "gz": b64encode(body).decode(),
        }
        return Draft(LANE, kind, [item], first_ns, last_ns, is_packed=True)

    @staticmethod
    def item_ns(item: dict[str, Any]) -> int:
        """The first minute in a batch, UTC ns."""
        return int(item["first_ns"])

    def send(self, target: str, items: list[dict[str, Any]]) -> None:
        """One insert. Raises ClickHouseError, urllib3's HTTPError."""
        for item in items:
            self._server.insert(target, item["token"], b64decode(item["gz"]))

    def partly_taken(self, answer: Any, items: list[dict[str, Any]]) -> None:
        """None: an insert is stored whole or not at all."""

    def verdict(self, error: BaseException) -> Verdict:
        """The rule for ClickHouse's own code, else for its status, else by whether the request left."""
        if isinstance(error, ClickHouseError):
            code = str(error.code or error.status)
            if error.code in _CODES:
                return Verdict(code, _CODES[error.code])
            if error.status in (429, 503):
                return Verdict(code, ErrorRule.THROTTLED)
            if error.status in (401, 403):
                return Verdict(code, ErrorRule.CREDENTIALS)
            return Verdict(code, ErrorRule.REFUSED if 400 <= error.status < 500 else ErrorRule.UNKNOWN)
        name = type(error).__name__
        never_left = name in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "SSLError")
        return Verdict(name, ErrorRule.UNREACHED if never_left else ErrorRule.UNKNOWN)

    def prepare(self, target: str) -> None:
        """Does nothing: the operator makes the tables that `sbcwatch fleet schema` prints."""


DAY_NS = 86_400 * 10**9
