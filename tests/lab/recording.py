"""Records scenarios: a fresh lab for each, captures of both sides, and a sidecar that says what was true."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import tempfile
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .capture import Capture
from .lab import Lab, versions
from .network import PREFIX
from .scenarios import SCENARIOS, Scenario

LICENCE = "CC0-1.0"
_open: weakref.WeakSet[Lab] = weakref.WeakSet()
_AT_ONCE = 4  # labs side by side: more would shift each other's packets on a small machine


def record(scenario: Scenario, target: Path) -> Path:
    """Play `scenario` in a lab of its own; write its captures and `NAME.json` into `target`.

    Raises:
        LabError: it did not go as meant, or the capture missed frames; nothing is written.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{os.getpid()}-") as folder,
        Lab(delay=scenario.delay, sbc=scenario.sbc) as lab,
    ):
        _open.add(lab)
        capture = Capture(lab.network, Path(folder), scenario.device)
        capture.start()
        began = datetime.datetime.now(datetime.UTC)
        truth = lab.run(scenario)
        capture.finish()
        for old in (path for path in target.iterdir() if _belongs(path.name, scenario.name)):
            old.unlink()
        files = capture.pack(target, scenario.name, scenario.container, scenario.vlans)
        sidecar = {
            "name": scenario.name,
            "shows": scenario.shows,
            "licence": LICENCE,
            "made": {
                "date": began.isoformat(timespec="seconds"),
                "command": f"python -m tests.lab record {scenario.name}",
                "commands": [_shortened(each) for each in lab.commands() + capture.commands()],
                "programs": versions(),
            },
            "files": files,
            "vc": lab.vc_addresses,
            "customer_networks": lab.customer_networks,
            "sbc": scenario.sbc,
            "direction": scenario.direction,
            "truth": truth,
        }
    path = target / f"{scenario.name}.json"
    path.write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return path


def record_all(names: Sequence[str], target: Path) -> int:
    """Record scenarios, some at a time, the longest first; print one line each, return how many failed."""
    target.mkdir(parents=True, exist_ok=True)
    chosen = sorted((SCENARIOS[name] for name in names), key=lambda each: -each.seconds)
    failed = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(record, each, target): each.name for each in chosen}
        try:
            for future in as_completed(running):
                error = future.exception()
                line = f"{running[future]}: {error or 'recorded'}"
                print(line, file=sys.stderr if error else sys.stdout, flush=True)
                failed += error is not None
        except BaseException:
            # A signal: the pool would wait for calls that nobody will see the end of.
            pool.shutdown(wait=False, cancel_futures=True)
            for lab in list(_open):
                lab.close()
            raise
    return failed


def _belongs(file: str, scenario: str) -> bool:
    """Whether a file is a capture of this scenario, in whatever container it was recorded before."""
    return (
        re.fullmatch(rf"{re.escape(scenario)}-(customer|remote|any)\.(pcap|pcapng)(\.gz)?", file) is not None
    )


def _shortened(command: str) -> str:
    """A command without the folders of one run."""
    return re.sub(r"/tmp/\S+", ".", re.sub(r"/tmp/[^ ]*/", "", command))
