"""A capture through the real command line, and what must be true of the answer.

A check names one fact, its right value and the rule that demands it. `Case.run` gives the output,
`Case.failures` the checks that do not hold, each as one line: what was expected, what came and why.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit import command

HERE = Path(__file__).parent
FIXED = HERE / "fixed_buffer.toml"  # the jitter buffer that the MOS values are of
SECONDS = 30  # the longest that a command over one of these small files may take

Row = dict[str, Any]


@dataclass
class Output:
    """What a command printed."""

    status: int | None  # exit status; None: it had to be stopped
    rows: list[Row]
    stderr: str

    def of(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row.get("type") == kind]

    def values(self, name: str) -> list[Any]:
        """One metric minute by minute."""
        return [row["values"][name] for row in self.of("metrics")]

    def media(self, call_id: str | None = None) -> list[Row]:
        """Media records, of one call or of all; None in `call_id` means all."""
        return [row for row in self.of("media") if call_id in (None, row["call_id"])]


def run(arguments: Sequence[str]) -> Output:
    """The command in this process."""
    return _output(*command.run(*arguments))


def run_apart(arguments: Sequence[str], seconds: float = SECONDS) -> Output:
    """The command in a process of its own, which is ended after `seconds`."""
    try:
        return _output(*command.run_apart(*arguments, seconds=seconds))
    except subprocess.TimeoutExpired:
        return Output(None, [], "")


def _output(status: int, out: bytes, err: str) -> Output:
    return Output(status, [json.loads(line) for line in out.splitlines() if line.startswith(b"{")], err)


# -- expected values


@dataclass(frozen=True)
class Near:
    """A number within a tolerance."""

    value: float
    tolerance: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and abs(other - self.value) <= self.tolerance

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.value} +- {self.tolerance}"


@dataclass(frozen=True)
class OneOf:
    """Either value is right: the rule leaves it open."""

    values: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        return any(value == other for value in self.values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.values))


@dataclass(frozen=True)
class Contains:
    """A text or a list that has all of these parts, upper and lower case alike."""

    parts: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        text = (other if isinstance(other, str) else json.dumps(other)).lower()
        return all(part.lower() in text for part in self.parts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "something with " + ", ".join(map(repr, self.parts))


class _Something:
    """Anything but nothing."""

    def __eq__(self, other: object) -> bool:
        return bool(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "something"


SOMETHING = _Something()


# -- checks


@dataclass(frozen=True)
class Check:
    what: str
    read: Callable[[Output], object]
    expected: object
    why: str

    def failure(self, output: Output) -> str:
        """One line, or nothing where the check holds."""
        try:
            came = self.read(output)
        except (KeyError, IndexError, ValueError) as error:
            came = f"nothing ({type(error).__name__}: {error})"
        if self.expected == came and isinstance(came, bool) == isinstance(self.expected, bool):
            return ""
        return f"{self.what}: expected {self.expected!r}, came {came!r} ({self.why})"


def total(name: str, expected: object, why: str) -> Check:
    """A metric over all minutes: counts add up, samples give their mean; None where no minute knew it."""

    def read(output: Output) -> object:
        known = [value for value in output.values(name) if value is not None]
        if not known:
            return None
        if isinstance(known[0], dict):
            return sum(value["sum"] for value in known) / sum(value["count"] for value in known)
        return sum(known)

    return Check(name, read, expected, why)


def minutes(name: str, expected: Sequence[object], why: str) -> Check:
    """A metric minute by minute; samples give their mean."""

    def read(output: Output) -> object:
        return [v["sum"] / v["count"] if isinstance(v, dict) else v for v in output.values(name)]

    return Check(f"{name} by minute", read, list(expected), why)


def sample_counts(name: str, expected: Sequence[object], why: str) -> Check:
    """How many samples of a distribution each minute has."""
    return Check(
        f"samples of {name} by minute",
        lambda output: [v["count"] if v else 0 for v in output.values(name)],
        list(expected),
        why,
    )


def nulls(names: Sequence[str], why: str) -> tuple[Check, ...]:
    """Metrics that no minute may claim to know."""

    def reader(name: str) -> Callable[[Output], object]:
        return lambda output: [value for value in output.values(name) if value is not None]

    return tuple(Check(f"{name}, minutes that claim to know it", reader(name), [], why) for name in names)


def record(name: str, expected: object, why: str, call_id: str | None = None, minute: int = 0) -> Check:
    """A field of a call's media record."""
    return Check(
        f"media record {call_id or ''} {name}".replace("  ", " "),
        lambda output: output.media(call_id)[minute][name],
        expected,
        why,
    )


def flagged(flag: str, expected: bool, why: str, call_id: str | None = None) -> Check:
    """Whether a media record of the call has a flag."""
    return Check(
        f"flag {flag}",
        lambda output: any(flag in row["flags"] for row in output.media(call_id)),
        expected,
        why,
    )


def extra(name: str, expected: object, why: str) -> Check:
    """A further count, where it stands: of the metrics lines, else of media records, else of the capture.

    Fields of a direction (`rem2vc_` before the name) add up.
    """

    def read(output: Output) -> object:
        for kind in ("metrics", "media", "capture"):
            rows = [row | row.get("extras", {}) for row in output.of(kind)]
            found = [
                value
                for row in rows
                for key, value in row.items()
                if (key == name or key.endswith(f"_{name}")) and isinstance(value, int)
            ]
            if found:
                return sum(found)
        return None

    return Check(name, read, expected, why)


def no_extra(name: str, why: str) -> Check:
    """A further count that is 0 or not there."""
    return extra(name, OneOf((0, None)), why)


def coverage(direction: str, minute: int, expected: object, why: str) -> Check:
    return Check(
        f"coverage {direction} of minute {minute + 1}",
        lambda output: output.of("metrics")[minute]["coverage"][direction],
        expected,
        why,
    )


def unknown_because(why: str) -> Check:
    """Each minute with an unknown count says why."""

    def read(output: Output) -> object:
        rows = [row | row.get("extras", {}) for row in output.of("metrics")]
        return [row.get("unknown_because") for row in rows if row.get("unknown_because")]

    return Check("unknown_because", read, SOMETHING, why)


def counted(kind: str, expected: object, why: str) -> Check:
    """How many JSON lines of a type."""
    return Check(f"number of {kind} lines", lambda output: len(output.of(kind)), expected, why)


def call(name: str, expected: object, why: str, call_id: str | None = None) -> Check:
    """A field of the call, of the only one or of that one whose Call-IDs hold `call_id`."""

    def read(output: Output) -> object:
        rows = [row for row in output.of("call") if call_id in (None, *row["call_ids"])]
        (row,) = rows
        return row[name]

    return Check(f"call {call_id or ''} {name}".replace("  ", " "), read, expected, why)


def capture(name: str, expected: object, why: str) -> Check:
    """A field of the last line; of `rejects` their sum."""

    def read(output: Output) -> object:
        (row,) = output.of("capture")
        return sum(row[name].values()) if isinstance(row[name], dict) else row[name]

    return Check(f"capture {name}", read, expected, why)


def streams(name: str, expected: object, why: str) -> Check:
    """A column of the rows of `sbcwatch streams`, as the set of its values."""
    return Check(f"streams {name}", lambda output: sorted({row[name] for row in output.rows}), expected, why)


def stderr(*parts: str, why: str) -> Check:
    return Check("stderr", lambda output: output.stderr, Contains(parts), why)


# -- cases


@dataclass(frozen=True)
class Case:
    """One command over one input, and what must be true of its answer."""

    name: str
    checks: tuple[Check, ...]
    arguments: tuple[str, ...] = ()
    command: str = "replay"
    file: str = "in.pcap.gz"
    apart: bool = False  # in a process of its own: it may never end
    directory: str = ""  # of the input; default: the case's name
    seconds: float = field(default=SECONDS)

    def run(self, path: Path | None = None) -> Output:
        path = path or HERE / (self.directory or self.name) / self.file
        arguments = [self.command, str(path), "--json", "--config", str(FIXED), *self.arguments]
        return run_apart(arguments, self.seconds) if self.apart else run(arguments)

    def failures(self, output: Output) -> list[str]:
        if output.status is None:
            return [f"ended: expected within {self.seconds:g} s, was still running (DESIGN 1: bounded CPU)"]
        ended = Check("exit status", lambda output: output.status, 0, output.stderr.strip() or "done")
        return [line for check in (ended, *self.checks) if (line := check.failure(output))]


def hold(case: Case, path: Path | None = None) -> None:
    """Run the case and assert all of its checks at once."""
    wrong = case.failures(case.run(path))
    assert not wrong, f"{case.name}:\n  " + "\n  ".join(wrong)
