"""`python -m tests.chaos --kills 200 --hours 24 --seed 7`: exit status 1 where what is stored is wrong."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.driver import Run
from tests.chaos.judge import judge

FAULTS = {"sink": 30, "reload": 8, "interface": 8, "stop": 8, "clock": 8, "disk": 8, "none": 30}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--hours", type=float, default=24.0, help="of outage, simulated")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--faults", default=",".join(FAULTS), help="kinds drawn before each kill")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(options.seed, Path(folder))
        faults = chaos(run, options.kills, options.hours, options.faults.split(","))
        if faults:
            warnings = [line for line in run.log_lines() if line["level"] in ("warning", "error")]
            print(*warnings[-40:], sep="\n", file=sys.stderr)
    for fault in faults:
        print("WRONG", fault)
    return bool(faults)


def chaos(run: Run, kills: int, hours: float, kinds: list[str]) -> list[str]:
    """A whole run; what is wrong with what it left. Prints its figures."""
    began, began_ns = time.monotonic(), run.sim.boottime_ns()
    with run.aws:
        try:
            run.start()
            if hours:
                run.outage(hours)
                print(f"{hours:g} h of outage in {time.monotonic() - began:.0f} s", flush=True)
            while run.did["kills"] < kills:
                fault(run, run.draw.choices(kinds, [FAULTS[kind] for kind in kinds])[0])
                run.watch(run.draw.uniform(0.2, 15.0))
                fall(run)
            duplicates = run.finish()
        finally:
            if run.daemon is not None:
                run.daemon.kill()
        faults = judge(run.aws, run.ledger, duplicates)
    ledger = run.ledger
    hours = (run.sim.boottime_ns() - began_ns) / 3.6e12
    print(f"{hours:.1f} simulated hours in {time.monotonic() - began:.0f} s: {dict(sorted(run.did.items()))}")
    print(
        f"{len(ledger.calls)} calls, {ledger.frames} frames, {ledger.frames_unseen} of them may be uncounted;"
        f" {len(run.aws.taken)} requests stored, {run.aws.again} of them twice, maybe_duplicate {duplicates}"
    )
    print(f"{run.refused} records refused; gaps: {sorted(set(run.gaps))[:5]}")
    stored, bounds = run.aws.totals(), ledger.bounds()
    for name in ("InboundCallAttempts", "OutboundCallsAnswered", "Sip2xxCodes", "CustomerToVcRtpPackets"):
        least, most = bounds.get(name, (0, 0))  # a short run may draw no call of that kind
        print(f"{name}: {stored[name]} stored, between {least} and {most} expected")
    return faults


def fault(run: Run, kind: str) -> None:
    draw = run.draw
    if kind == "sink":
        run.sink_fault()
    elif kind == "reload":
        run.reload()
    elif kind == "interface":
        run.interface_down(draw.uniform(0.5, 10.0))
    elif kind == "stop":
        run.stopped(30.0)
    elif kind == "clock":
        run.set_clock()
    elif kind == "disk":
        run.disk_full(draw.uniform(1.0, 20.0))


def fall(run: Run) -> None:
    """One end of the daemon, and its next start."""
    draw = run.draw
    if draw.random() < 0.1:
        run.did["SIGTERM"] += 1
        run.stop()
    else:
        run.kill()
        if draw.random() < 0.05:
            run.did["checkpoint truncated"] += 1
            run.truncate_checkpoint()
    run.watch(draw.uniform(0.0, 5.0))
    while draw.random() < 0.1:  # killed again while it starts
        run.start(wait=False)
        run.watch(draw.uniform(0.1, 8.0))
        run.did["kills in starting"] += 1
        run.kill()
    run.start()


if __name__ == "__main__":
    sys.exit(main())
