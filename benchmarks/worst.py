"""What hostile bytes cost: microseconds and retained bytes per wire byte, for each parser, framing and table.

    python -m benchmarks.worst [--only sdp] [--json]

A shape (tests/kit/hostile.py) is a kind of input of any size and who reads it. Where its cost per wire byte
grows with the size, its sender chooses how long the daemon is busy. So each shape is read at sizes from 10 to
100,000 (bytes of one message or stream, or entries of a table). It fails where a byte at the largest size is
beyond the shape's bound, or beyond a quarter of it and several times as dear as one at a tenth of the size.

Time is CPU time. Bytes are what Python holds when the input is gone: rows of the stream table lie elsewhere
and have a bound of their own.
"""

from __future__ import annotations

import argparse
import json
import sys

from tests.kit.hostile import shapes
from tests.kit.shape_cost import measured


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="shapes whose name has this word")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, faulty = [], False
    if not options.json:
        print(f"{'shape':<46} {'us/byte':>8} {'bound':>6} {'held':>6} {'growth':>6}")
    for shape in shapes():
        if options.only not in shape.name:
            continue
        verdict = measured(shape)
        last, faults = verdict.costs[-1], verdict.faults
        faulty = faulty or bool(faults)
        if options.json:
            found.append([shape.name, last.us, shape.us, last.held, verdict.growth, faults])
        else:
            figures = f"{last.us:>8.4f} {shape.us:>6.2f} {last.held:>6.2f} {verdict.growth:>6.2f}"
            print(f"{shape.name:<46} {figures}  {'; '.join(faults)}".rstrip(), flush=True)
    if options.json:
        print(json.dumps(found))
        return 0
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
