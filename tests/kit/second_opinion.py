"""Every bundled capture through tshark and through us, once a process, on both processors."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from agent.commands.verify import Check, Ours, judge, read
from agent.commands.verify.dissected import Dissection, dissect
from agent.config.settings import Config
from tests.kit.replayed import PCAPS, sidecar, sidecars

KINDS = (
    "SIP responses",
    "SIP requests",
    "RTP packets",
    "RTP bytes",
    "RTP lost",
    "RTP duplicates",
    "jitter mean us",
    "jitter max us",
    "RTT ms",
)


def captures() -> list[tuple[str, str]]:
    """(scenario, file) of every bundled capture."""
    return [(name, file) for name in sidecars() for file in sidecar(name)["files"]]


@cache
def _dissections() -> dict[str, Future[Dissection]]:
    """tshark's start takes longer than its reading, so all files are begun at once, two at a time."""
    pool = ThreadPoolExecutor(2)
    started = {file: pool.submit(dissect, str(PCAPS / file)) for _, file in captures()}
    pool.shutdown(wait=False)
    return started


def theirs(file: str) -> Dissection:
    return _dissections()[file].result()


@cache
def ours(name: str, file: str) -> Ours:
    side = sidecar(name)
    return read(str(PCAPS / file), Config(), vc=side["vc"], customers=side["customer_networks"])


@cache
def checks(name: str, file: str) -> tuple[Check, ...]:
    return tuple(judge(file, ours(name, file), theirs(file)))


def every_check() -> list[Check]:
    return [check for name, file in captures() for check in checks(name, file)]


def table(found: Iterable[Check]) -> str:
    """Figure by figure: how many were held against tshark, and how far apart they are at most."""
    found = list(found)
    lines = [
        "| figure | compared | greatest difference | tolerance | tshark's own is another |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        of_kind = [check for check in found if check.what == kind]
        apart = max(
            (
                abs(check.ours - check.tshark)
                for check in of_kind
                if check.ours is not None and check.tshark is not None
            ),
            default=0,
        )
        exact = all(not check.tolerance for check in of_kind)
        most = max((check.tolerance for check in of_kind), default=0)
        limit = "0" if exact else "10 us + 1 %" if kind.startswith("jitter") else f"{most:g}"
        aside = sum(check.own is not None and bool(check.note) for check in of_kind)
        greatest = f"{apart:.0f}" if exact else f"{apart:.2f}" if kind == "RTT ms" else f"{apart:.1f}"
        lines.append(f"| {kind} | {len(of_kind)} | {greatest} | {limit} | {aside or '-'} |")
    return "\n".join(lines)
