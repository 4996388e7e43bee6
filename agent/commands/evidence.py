"""`sbcwatch evidence list|export|arm|disarm`: the kept packets of calls."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from agent.commands.json_lines import print_json
from agent.config.load import load
from agent.errors import ConfigError
from agent.evidence.files import EvidenceNote, path_of_note, read_notes
from agent.evidence.orders import LEAST_DIGITS, Order, OrderFile
from agent.store.private import refused
from agent.story.words import clock
from agent.summary.printable import printable

MAX_MINUTES = 7 * 24 * 60


def evidence_command(options: argparse.Namespace) -> int:
    """Exit status 1 where no packets of the call are kept. Raises ConfigError."""
    return _ACTIONS[options.action](options, Path(options.store or load(options.config).store.directory))


def _list(options: argparse.Namespace, directory: Path) -> int:
    """The newest first, then the orders in force."""
    notes = read_notes(directory)
    for note in notes:
        if options.json:
            print_json(note)
        else:
            print("\n".join(printable(line) for line in _lines(note)))
    if options.json:
        return 0
    if not notes:
        print(f"no evidence in {directory}")
    now_ns = time.time_ns()
    for order in OrderFile(directory).read(now_ns):
        minutes = (order.until_ns - now_ns) / 60e9
        print(printable(f"asked for: {order.text}, {minutes:.0f} more minutes"))
    return 0


def _lines(note: EvidenceNote) -> list[str]:
    users = f"{note.from_user or '-'} to {note.to_user or '-'}"
    end = "goes on" if note.ends_ns is None else f"{note.packets} packets, {note.bytes} bytes"
    lines = [f"{note.name}  {clock(note.begins_ns)}  {users}  {note.reason}  {end}"]
    if note.left_out:
        lines.append(f"  {note.left_out} packets left out: [evidence] max_call_mb")
    return lines + [f"  Call-ID {call_id}" for call_id in note.call_ids]


def _export(options: argparse.Namespace, directory: Path) -> int:
    if not options.id or not options.output:
        raise ConfigError("evidence export: name a call and a file: sbcwatch evidence export ID -o FILE")
    for note in read_notes(directory):
        if options.id == note.name or options.id in note.call_ids:
            try:
                data = path_of_note(directory, note).read_bytes()
            except OSError as error:
                raise refused(error, path_of_note(directory, note)) from None
            return _written(data, options.output)
    print(f"sbcwatch: no evidence of {options.id!a} in {directory}", file=sys.stderr)
    return 1


def _written(data: bytes, output: str) -> int:
    """Write a new file for its owner alone. Raises ConfigError."""
    if output == "-":
        sys.stdout.buffer.write(data)
        return 0
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise ConfigError(f"{output}: {error.strerror}: name a file that can be written") from None
    return 0


def _arm(options: argparse.Namespace, directory: Path) -> int:
    asked = [options.number, options.call_id, options.peer]
    if sum(map(bool, asked)) != 1:
        raise ConfigError("evidence arm: name one of --number, --call-id and --peer")
    if not 0 < options.minutes <= MAX_MINUTES:
        raise ConfigError(f"evidence arm: --minutes is more than 0 and at most {MAX_MINUTES}")
    digits = sum(map(str.isdecimal, options.number or ""))
    if 0 < digits < LEAST_DIGITS and (options.number or "").strip("+").isdecimal():
        raise ConfigError(f"evidence arm: a number has {LEAST_DIGITS} digits or more")
    now_ns = time.time_ns()
    until_ns = now_ns + round(options.minutes * 60e9)
    order = Order(until_ns, options.number or "", options.call_id or "", options.peer or "")
    file = OrderFile(directory)
    file.write([each for each in file.read(now_ns) if each.text != order.text] + [order])
    print(printable(f"asked for: {order.text}, {options.minutes:g} minutes from now"))
    return 0


def _disarm(options: argparse.Namespace, directory: Path) -> int:
    """End every order; calls that are being recorded go on to their end."""
    OrderFile(directory).write([])
    print("nothing is asked for any more")
    return 0


_ACTIONS = {"list": _list, "export": _export, "arm": _arm, "disarm": _disarm}
