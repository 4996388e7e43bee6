"""The board on Valkey or Redis 7: a stream a media address, a key an election. Package `redis`.

Synchronous, for a thread of its own, which calls `step`; the engine's thread only fills and empties queues.
While the server is away, or refuses, claims wait a minute, then count as missed. The user needs
`+xadd +set +xread ~claim:* ~leg:*` and nothing else, in a cluster `+cluster|slots +command` too: the first
answer that names another server says that there is one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from agent.errors import ConfigError, how_to_add
from agent.fleet.board import MAX_WAITING, Elected, claim_key, leg_key
from agent.model.claim import Claim, RemoteClaim

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

KEPT = 100_000  # claims of one address, about
ELECTED_S = 3_600
WAIT_NS = 60 * 10**9  # that a claim waits for a server that is away
TIMEOUT_S = 3.0
AWAY, REFUSES = "does not answer", "refuses"  # as a fault begins
MAX_DIGITS = 20  # of a time
AT_ONCE = 1_000  # claims in one request
BEGINNING = "0-0"
_FIELD, _SENT = b"c", b"t"  # of an entry: the claim, and when it was sent, by its host's clock (ns)
_claims = msgspec.json.Decoder(Claim)
_elected = msgspec.json.Decoder(Elected)


class ValkeyBoard:
    """`relays`: this host's media addresses. `last`: the ids to read on from, as `last_ids` gave them.

    `clock`: UTC ns. Raises ConfigError where the password's file cannot be read or the URL will not do.
    """

    def __init__(
        self,
        url: str,
        relays: Iterable[str],
        clock: Callable[[], int],
        *,
        last: Mapping[str, str] | None = None,
        user: str = "",
        password_file: str = "",
        ca_file: str = "",
    ) -> None:
        self.missed = 0  # claims that were not sent in time, or did not parse
        self.gaps = 0  # times that claims for us were thrown away before we read them
        self.errors = 0
        self.is_up = False
        self.fault = ""  # why the last step failed, for the operator; "" where it did not
        self.answer_s = 0.0  # the longest that an answer took in the last step
        self.last_ids = {relay: (last or {}).get(relay, BEGINNING) for relay in relays}
        self._clock = clock
        self._unchecked = {relay for relay, at in self.last_ids.items() if at != BEGINNING}
        self._caught_up: set[str] = set()  # relays of which an entry that is read now came just now
        self._out: deque[tuple[int, str, Claim]] = deque()
        self._received: deque[RemoteClaim] = deque()
        self._asked: deque[tuple[str, Elected]] = deque(maxlen=MAX_WAITING)
        self._answers: deque[tuple[str, Elected]] = deque(maxlen=MAX_WAITING)
        self._url = url
        self._options = _options(user, password_file, ca_file)
        self._client: Redis | RedisCluster = _connected(url, self._options)

    def read_on(self, last: Mapping[str, str]) -> None:
        """Read on from these ids, as `last_ids` gave them. Only before the first step."""
        for relay in self.last_ids:
            self.last_ids[relay] = last.get(relay, BEGINNING)
        self._unchecked = {relay for relay, at in self.last_ids.items() if at != BEGINNING}

    # -- the verbs, for the engine's thread

    def tell(self, relay: str, claim: Claim) -> None:
        """Give `claim` to the host of the media address `relay`, at the next step."""
        if len(self._out) >= MAX_WAITING:
            self._out.popleft()
            self.missed += 1
        self._out.append((self._clock(), relay, claim))

    def hear(self) -> list[RemoteClaim]:
        """The claims that the steps so far have read."""
        return [self._received.popleft() for _ in range(len(self._received))]

    def elect(self, key: str, leg: Elected) -> Elected | None:
        """Asks the server: not for the packet path. None where it is away."""
        from redis.exceptions import RedisError

        try:
            text = msgspec.json.encode(leg)
            found = self._client.set(leg_key(key), text, nx=True, ex=ELECTED_S, get=True)
            return leg if found is None else _elected.decode(cast(bytes, found))
        except (RedisError, OSError, msgspec.MsgspecError):
            self.errors += 1
            return None

    def ask(self, key: str, leg: Elected) -> None:
        """The same at the next step: `answers` has it then. Nobody waits for a server that is away."""
        self._asked.append((key, leg))

    def answers(self) -> list[tuple[str, Elected]]:
        """The answers that the steps so far have read."""
        return [self._answers.popleft() for _ in range(len(self._answers))]

    # -- its own thread

    def step(self, block_ms: int = 500) -> None:
        """Send what waits, then read what has come, waiting for it at most `block_ms`."""
        fault, self.answer_s = "", 0.0
        for part in (self._send, self._ask, lambda: self._read(block_ms)):
            # A server that takes nothing (a full one) may still have something to read.
            fault = self._tried(part) or fault
            if fault.startswith(AWAY):
                break  # the next part would wait for it as long
        self.is_up, self.fault = not fault, fault
        if fault:
            self._unchecked = set(self.last_ids)  # the server may come back without what it had
            self._caught_up.clear()
        oldest_ns = self._clock() - WAIT_NS
        while self._out and self._out[0][0] < oldest_ns:
            self._out.popleft()
            self.missed += 1

    def _tried(self, part: Callable[[], None]) -> str:
        """Why a part of a step failed; "" where it did not."""
        from redis.exceptions import (
            AskError,
            AuthenticationError,
            MovedError,
            RedisError,
            ResponseError,
        )

        try:
            part()
        except (MovedError, AskError):
            try:
                self._join_cluster()
                part()
            except (RedisError, OSError) as error:
                self.errors += 1
                return f"{REFUSES} to be read as a cluster: {_text(error)}"
        except (ResponseError, AuthenticationError) as error:
            self.errors += 1
            return f"{REFUSES}: {_text(error)}"
        except (RedisError, OSError) as error:
            self.errors += 1
            return f"{AWAY}: {_text(error)}"
        return ""

    def _join_cluster(self) -> None:
        from redis.cluster import RedisCluster

        if not isinstance(self._client, RedisCluster):
            # It asks each server for the whole by the way that the first one was reached.
            cluster = RedisCluster.from_url(self._url, **self._options)
            self._client.close()
            self._client = cluster

    def _send(self) -> None:
        """A claim leaves the queue once it was taken: sent twice it is one all the same."""
        while self._out:
            rows = [self._out[at] for at in range(min(AT_ONCE, len(self._out)))]
            pipe = self._client.pipeline(transaction=False)
            for _, relay, claim in rows:
                entry: dict[Any, Any] = {_FIELD: msgspec.json.encode(claim), _SENT: self._clock()}
                pipe.xadd(claim_key(relay), entry, maxlen=KEPT, approximate=True)
            self._timed(pipe.execute)
            for _ in rows:
                self._out.popleft()

    def _ask(self) -> None:
        while self._asked:
            rows = [self._asked[at] for at in range(min(AT_ONCE, len(self._asked)))]
            pipe = self._client.pipeline(transaction=False)
            for key, leg in rows:
                pipe.set(leg_key(key), msgspec.json.encode(leg), nx=True, ex=ELECTED_S, get=True)
            for (key, leg), found in zip(rows, self._timed(pipe.execute), strict=True):
                self._asked.popleft()
                try:
                    self._answers.append((key, leg if found is None else _elected.decode(found)))
                except msgspec.MsgspecError:
                    self.errors += 1

    def _read(self, block_ms: int) -> None:
        """One address a request: in a cluster each stands on another server."""
        for relay in self.last_ids:
            room = MAX_WAITING - len(self._received)
            if room > 0:
                if relay in self._unchecked:
                    self._check(relay)
                wait_ms = max(1, block_ms // len(self.last_ids))
                most = min(room, AT_ONCE)
                entries = self._entries(relay, self.last_ids[relay], most, wait_ms)
                for id_, fields in entries:
                    self.last_ids[relay] = id_.decode()
                    self._take(relay, fields)
                if len(entries) < most:
                    self._caught_up.add(relay)

    def _check(self, relay: str) -> None:
        """Whether all that came after the last id is still there."""
        for id_, _ in self._entries(relay, BEGINNING, 1, None):
            last = self.last_ids[relay]
            if last != BEGINNING and _number(id_.decode()) > _number(last):
                self.gaps += 1
            self._unchecked.discard(relay)

    def _entries(self, relay: str, after: str, count: int, block_ms: int | None) -> list[tuple[bytes, Any]]:
        answer: Any = self._timed(
            lambda: self._client.xread({claim_key(relay): after}, count=count, block=block_ms),
            (block_ms or 0) / 1000,
        )
        streams = answer.values() if isinstance(answer, dict) else [rows for _, rows in answer or ()]
        return [row for rows in streams for row in (rows[0] if rows and isinstance(rows[0], list) else rows)]

    def _timed(self, request: Callable[[], Any], wait_s: float = 0.0) -> Any:
        """The answer. `wait_s`: how long the server was told to wait at most."""
        began = time.monotonic()
        try:
            return request()
        finally:
            self.answer_s = max(self.answer_s, time.monotonic() - began - wait_s)

    def _take(self, relay: str, fields: Mapping[bytes, bytes]) -> None:
        try:
            claim = _claims.decode(fields[_FIELD])
        except (KeyError, msgspec.MsgspecError):
            self.missed += 1
            return
        sent = fields.get(_SENT, b"") if relay in self._caught_up else b""
        sent_ns = int(sent) if sent.isdigit() and len(sent) < MAX_DIGITS else 0
        self._received.append(RemoteClaim(claim, self._clock(), relay, self.last_ids[relay], sent_ns))

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()


def _number(id_: str) -> tuple[int, int]:
    """A stream id as it counts: milliseconds, then a number in them."""
    time_ms, _, sequence = id_.partition("-")
    return int(time_ms), int(sequence or 0)


def _text(error: Exception) -> str:
    """One line of an error, without the commands of a pipeline."""
    return (
        " ".join(str(error).rpartition(" caused error: ")[2].split())[:200].rstrip(".")
        or type(error).__name__
    )


def _options(user: str, password_file: str, ca_file: str) -> dict[str, Any]:
    options: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    if user:
        options["username"] = user
    # Read once, while every file may be read.
    for name, file in (("password", password_file), ("ssl_ca_data", ca_file)):
        if file:
            try:
                options[name] = Path(file).read_text().strip()
            except OSError as error:
                raise ConfigError(f"{file}: {error.strerror}") from None
    return options


def _connected(url: str, options: Mapping[str, Any]) -> Redis:
    try:
        from redis import Redis
    except ImportError:
        raise ConfigError(f"fleet.board needs the package redis: {how_to_add('redis')}") from None
    try:
        return Redis.from_url(url, **options)
    except ValueError as error:
        raise ConfigError(f"{url!r} is no board: {error}") from None
