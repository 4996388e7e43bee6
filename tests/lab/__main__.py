"""The lab as a command: `list`, `run SCENARIO... --out DIR`, `record [SCENARIO...]`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from . import LabError, why_not
from .recording import record_all
from .scenarios import SCENARIOS

PCAPS = Path(__file__).parents[2] / "pcaps"


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every scenario in one line")
    play = commands.add_parser("run", help="play scenarios, write captures and truth")
    play.add_argument("scenarios", nargs="+", choices=SCENARIOS, metavar="SCENARIO")
    play.add_argument("--out", type=Path, required=True, metavar="DIR")
    again = commands.add_parser("record", help="make pcaps/ anew, or some of it")
    again.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    options = parser.parse_args()

    if options.command == "list":
        for each in SCENARIOS.values():
            print(f"{each.name:24} {each.shows}")
        return 0
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    reason = why_not()
    if reason:
        print(f"the lab cannot run: {reason}", file=sys.stderr)
        return 1
    # Turned into an exception, so that every `with` on the way out takes its namespaces down.
    signal.signal(signal.SIGTERM, _interrupted)
    target = options.out if options.command == "run" else PCAPS
    try:
        failed = record_all(options.scenarios or list(SCENARIOS), target)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    if options.command == "run":
        for name in options.scenarios:
            path = target / f"{name}.json"
            if path.exists():
                print(json.dumps(json.loads(path.read_text(encoding="utf-8"))["truth"]["responses"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
