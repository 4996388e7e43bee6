"""Bundled captures as frames, to be cut anywhere, and what a pipeline makes of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from agent.commands import replay
from agent.config.settings import Config
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import Samples, Summary
from agent.wire.frame import Batch, Frame, batch_of
from tests.kit.replayed import PCAPS, sidecar

CAPTURES = [
    "loss-vc2cust",
    "loss-cust2vc",
    "hold-inbound",
    "hunted-outbound",
    "twenty-inbound",
    "short-outbound",
]


class Kept:
    def __init__(self) -> None:
        self.summaries: list[Summary] = []
        self.sip: list[dict[str, Any]] = []

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self.sip += rows

    def commit(self, summary: Summary) -> None:
        self.sip += summary.sip
        summary.sip = []
        self.summaries.append(summary)

    def result(self) -> Any:
        minutes = []
        for summary in self.summaries:
            for connector in summary.connectors:
                values = {
                    name: {k: round(v, 6) for k, v in value.summary().items()}
                    if isinstance(value, Samples)
                    else value
                    for name, value in connector.values.items()
                }
                minutes.append((summary.start_ns, connector.voice_connector_id, values))
        return {
            "minutes": minutes,
            "media": [row for s in self.summaries for row in s.media],
            "calls": sorted((row for s in self.summaries for row in s.calls), key=lambda row: row["call_id"]),
            "sip": sorted(
                self.sip, key=lambda row: (row["event_timestamp"], row["call_id"], row["sip_message"])
            ),
        }


@cache
def frames_of(name: str) -> list[Frame]:
    side = sidecar(name)
    source = replay.open_files([str(PCAPS / file) for file in side["files"]], Config())
    return [frame for batch, _ in source for frame in batch.frames()]


def pipeline_for(name: str) -> Pipeline:
    side = sidecar(name)
    return build(Config(), vc=side["vc"], customers=side["customer_networks"], key=b"key")


def feed(pipeline: Pipeline, batch: Batch, kept: Kept) -> None:
    pass_on(pipeline.engine.feed(batch), pipeline.intervals, kept)


@cache
def whole(name: str) -> Any:
    pipeline, kept = pipeline_for(name), Kept()
    feed(pipeline, batch_of(frames_of(name)), kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    return kept.result()
