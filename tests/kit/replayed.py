"""Captures through the pipeline in-process, for tests that hold the result against somebody else's truth."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from agent.commands import json_lines, replay
from agent.commands.stream_totals import StreamTotals
from agent.config.settings import Config
from agent.summary.records import Samples, Summary

PCAPS = Path(__file__).parents[2] / "pcaps"


@dataclass
class Replayed:
    """What a replay gave."""

    summaries: list[Summary]
    sip: list[dict[str, Any]]
    streams: list[dict[str, Any]]
    capture: dict[str, Any]

    def total(self, name: str) -> int | None:
        """A count over all minutes and connectors; None where no minute knew it."""
        values = [v for s in self.summaries for c in s.connectors if (v := c.values[name]) is not None]
        return sum(v for v in values if isinstance(v, int)) if values else None

    def samples(self, name: str) -> list[float]:
        """Every sample's bin value of a distribution."""
        values = [c.values[name] for s in self.summaries for c in s.connectors]
        return [v for value in values if isinstance(value, Samples) for v in value.values]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [row for summary in self.summaries for row in summary.calls]

    @property
    def media(self) -> list[dict[str, Any]]:
        return [row for summary in self.summaries for row in summary.media]


@dataclass
class Keeper:
    """Keeps what a store would."""

    summaries: list[Summary] = field(default_factory=list)
    sip: list[dict[str, Any]] = field(default_factory=list)

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self.sip += rows

    def commit(self, summary: Summary) -> None:
        self.sip += summary.sip
        self.summaries.append(summary)


def through(
    paths: list[str], *, vc: list[str], customers: list[str], config: Config | None = None
) -> Replayed:
    """Replay files. Raises CaptureError as the command would."""
    config = config or Config()
    totals, keeper = StreamTotals(), Keeper()
    source = replay.open_files(paths, config)
    pipeline = replay.prepare(config, vc=vc, customers=customers, on_stream=totals.add)
    replay.replay(source, pipeline, keeper)
    return Replayed(keeper.summaries, keeper.sip, totals.rows(), json_lines.capture_row(source, pipeline))


def sidecars() -> list[str]:
    return sorted(path.stem for path in PCAPS.glob("*.json"))


@cache
def sidecar(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PCAPS / f"{name}.json").read_text())
    return loaded


@lru_cache(maxsize=8)
def scenario(name: str) -> Replayed:
    """A bundled capture through the pipeline with the sides that its sidecar names."""
    side = sidecar(name)
    return through(
        [str(PCAPS / file) for file in side["files"]], vc=side["vc"], customers=side["customer_networks"]
    )


def outcomes(result: Replayed) -> Counter[str]:
    return Counter(row["outcome"] for row in result.calls)
