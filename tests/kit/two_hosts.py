"""A capture split into its SIP and its media, each through a host of its own, with a board between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import to_builtins

from agent.config.settings import Config
from agent.fleet.board import Board, LocalBoard
from agent.fleet.teller import ClaimTeller
from agent.model.claim import RemoteClaim
from agent.pipeline import Pipeline, build, pass_on
from agent.wire.frame import Frame, batch_of
from tests.kit.replayed import Keeper

Records = dict[str, list[dict[str, Any]]]
KEY = b"a key that all hosts of the test share"
# The fields in which records of two hosts differ from those of one host that sees all, and why. The page on
# fleets has the same table. All other fields are equal.
OTHERWISE: dict[str, dict[str, str]] = {
    "media": {
        "host": "names who wrote the record",
        "record_id": "the host's name is in it",
    },
    "calls": {
        "host": "names who wrote the record",
        "flags": "has `media_elsewhere`",
        "codec": "of media, which the proxy does not see: null",
        "worst_direction": "of media: null",
        "last_rtp_ns": "of media: null",
        "loss_runs": "of media: null in each direction",
        "late_histogram": "of media: null in each direction",
    },
    "sip": {"host": "names who wrote the record"},
    "metrics": {
        "host": "names who wrote the record",
        "values": "calls and SIP codes are null on the relay, media on the proxy; what is known is equal",
        "carriers": "as `values`",
        "extras": "those of calls are the proxy's, those of media the relay's",
        "coverage": "of media, so the relay's; six digits where a part of the minute is unknown",
        "unknown_because": "also has `media_elsewhere` on the proxy, `signalling_elsewhere` on the relay",
    },
}
OF_THE_HOST = tuple(OTHERWISE["media"])


def is_sip(frame: Frame) -> bool:
    """Whether a frame carries SIP (in one piece) or TCP."""
    return b"SIP/2.0" in frame.data


@dataclass
class Hosts:
    """`proxy` sees SIP, `relay` media. `deliver`: what becomes of claims on their way."""

    vc: list[str]
    customers: list[str]
    board: Board = field(default_factory=LocalBoard)
    config: Config = field(default_factory=Config)
    deliver: Callable[[list[RemoteClaim]], Iterable[RemoteClaim]] = list
    proxy_config: Config | None = None

    def __post_init__(self) -> None:
        self.proxy = self.built("proxy", self.proxy_config or self.config)
        self.relay = self.built("relay", self.config)
        self.kept = {"proxy": Keeper(), "relay": Keeper()}
        self.teller = ClaimTeller(self.board, self.proxy.sides, self.proxy.intervals.identity)

    def built(self, name: str, config: Config) -> Pipeline:
        return build(config, vc=self.vc, customers=self.customers, key=KEY, host=name)

    def play(self, frames: list[Frame], is_proxys: Callable[[Frame], bool] = is_sip) -> None:
        """Every frame in order, media in runs between SIP."""
        run: list[Frame] = []
        for frame in frames:
            if not is_proxys(frame):
                run.append(frame)
                continue
            self.media(run)
            run = []
            self.signal(frame)
        self.media(run)

    def media(self, run: list[Frame]) -> None:
        if run:
            for frame in run:  # one by one: what a minute says of a round trip depends on who is asked when
                self.passed("relay", self.relay.engine.feed(batch_of([frame])))
            self.time(run[-1].stamp_ns)

    def signal(self, frame: Frame) -> None:
        self.passed("proxy", self.proxy.engine.feed(batch_of([frame])))
        self.time(frame.stamp_ns)

    def time(self, now_ns: int) -> None:
        self.passed("proxy", self.proxy.engine.advance(now_ns))
        self.exchange(now_ns)
        self.passed("relay", self.relay.engine.advance(now_ns))

    def exchange(self, now_ns: int) -> None:
        self.teller.tell(self.proxy.engine.signalling, now_ns)
        for heard in self.deliver(self.board.hear()):
            self.relay.engine.claim(heard)

    def finish(self) -> None:
        for name, pipeline in (("proxy", self.proxy), ("relay", self.relay)):
            self.passed(name, pipeline.engine.finish())

    def passed(self, name: str, events: list[Any]) -> None:
        pipeline = self.proxy if name == "proxy" else self.relay
        pass_on(events, pipeline.intervals, self.kept[name])

    def records(self, name: str) -> list[dict[str, Any]]:
        """Media records of a host, without what is the host's own."""
        return comparable(row for summary in self.kept[name].summaries for row in summary.media)


def rows_of(kept: Keeper) -> Records:
    """What a pipeline made, by kind, as an archive has it."""
    minutes = [
        {"event_timestamp": summary.start_ns // 1_000_000, "part": summary.part, "host": ""}
        | to_builtins(each)
        for summary in kept.summaries
        for each in summary.connectors
    ]
    return {
        "media": [row for summary in kept.summaries for row in summary.media],
        "calls": [row for summary in kept.summaries for row in summary.calls],
        "sip": kept.sip,
        "metrics": minutes,
    }


def alike(kind: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without the fields that say otherwise, in one order."""
    kept = [{name: value for name, value in row.items() if name not in OTHERWISE[kind]} for row in rows]
    return sorted(kept, key=repr)


def known(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Values of several hosts as one host's. Each is known on one of them at most, or 0 on the others."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = [part[name] for part in parts if part.get(name) is not None]
        some = [value for value in values if value != 0]
        assert len(some) <= 1, name
        found[name] = (some or values or [None])[0]
    return found


def assert_minutes_alike(*rows: Iterable[dict[str, Any]]) -> None:
    """Rows of metrics of the proxy, of the relay, and of one host that sees all."""
    proxy, relay, both = map(_by_minute, rows)
    for its in (proxy, relay):
        assert alike("metrics", its.values()) == alike("metrics", both.values())
    for minute, one in both.items():
        parts = proxy[minute], relay[minute]
        for name in ("values", "extras"):
            assert known(*(part[name] for part in parts)) == one[name]
        for carrier, values in one["carriers"].items():
            assert known(*(part["carriers"][carrier] for part in parts)) == values
        assert set(proxy[minute]["coverage"].values()) == {None}
        assert relay[minute]["coverage"] == {
            way: share if share is None else round(share, 6) for way, share in one["coverage"].items()
        }
        elsewhere = {"media_elsewhere"}
        assert _causes(proxy[minute]) - elsewhere == _causes(one) - elsewhere
        assert _causes(relay[minute]) - {"signalling_elsewhere"} == _causes(one)


def _by_minute(rows: Iterable[dict[str, Any]]) -> dict[tuple[int, int, str], dict[str, Any]]:
    return {(row["event_timestamp"], row["part"], row["voice_connector_id"]): row for row in rows}


def _causes(row: dict[str, Any]) -> set[str]:
    return {because["cause"] for because in row["unknown_because"]}


def comparable(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Media records in one order, without what two hosts say otherwise."""
    kept = [{name: value for name, value in row.items() if name not in OF_THE_HOST} for row in rows]
    return sorted(kept, key=lambda row: (row["event_timestamp"], row["transaction_id"], row["part"]))


def alone(frames: list[Frame], vc: list[str], customers: list[str], config: Config | None = None) -> Keeper:
    """One host that sees all of it."""
    pipeline, kept = build(config or Config(), vc=vc, customers=customers, key=KEY, host="both"), Keeper()
    for frame in frames:
        pass_on(pipeline.engine.feed(batch_of([frame])), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    return kept
