"""The recorder of evidence that a configuration switches on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.assembly.rules import believed, evidence_bytes, ns
from agent.config.settings import Config
from agent.evidence.files import EvidenceFiles, FileBounds
from agent.evidence.orders import OrderFile
from agent.evidence.recorder import Recorder, RecordingBounds, Triggers
from agent.evidence.tap import Tap
from agent.store.private import refused


def at_once(work: Callable[..., object], *arguments: object) -> None:
    """Runs the work immediately: a file is read by one thread."""
    work(*arguments)


def recorder(
    config: Config, directory: Path, *, live: bool = False, do: Callable[..., object] = at_once
) -> Recorder | None:
    """None where evidence is off. `directory`: the store's. `do`: runs work on the disk, in order.

    Raises SbcwatchError where the folder cannot be made.
    """
    settings = config.evidence
    if not settings.enabled:
        return None
    bounds = FileBounds(settings.max_files, settings.max_mb << 20, settings.keep_days * 86_400)
    try:
        files = EvidenceFiles(directory, bounds)
    except OSError as error:
        raise refused(error, directory) from None
    return Recorder(
        files,
        Tap(
            ns(settings.before_seconds),
            evidence_bytes(config),
            believed(config.capture) if live or config.capture.tunnels else None,
        ),
        Triggers(settings.mos_below, settings.loss_above / 100, settings.flags),
        RecordingBounds(settings.max_calls, settings.max_call_mb << 20, with_payload=settings.payload),
        orders=OrderFile(directory).read,
        wall_s=time.time,
        nat=config.vc.public_addresses,
        do=do,
    )
