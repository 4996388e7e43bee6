"""tcpdump on the sbc's interfaces, and its word that it missed nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from . import packing
from .network import INTERFACES, SIDES, Network
from .processes import LabError, Process, wait_until

Device = Literal["sides", "any-sll", "any-sll2"]


class Capture:
    """Records one lab from `start` to `finish`: a file for each side, or one of the device `any`, cooked."""

    def __init__(self, network: Network, folder: Path, device: Device = "sides") -> None:
        self._network = network
        self._folder = folder
        # Suffix of the recorded file -> interface.
        self._interfaces = {side: INTERFACES[side] for side in SIDES} if device == "sides" else {"any": "any"}
        self._link = {"any-sll": "LINUX_SLL", "any-sll2": "LINUX_SLL2"}.get(device, "EN10MB")
        self._running: dict[str, Process] = {}

    def start(self) -> None:
        for suffix, interface in self._interfaces.items():
            command = ["tcpdump", "-i", interface, "-n", "-s", "0", "-B", "8192", "-U", "-Z", "root"]
            # Else up to a second of frames still waits in the ring when tcpdump is told to stop.
            command += ["--immediate-mode"]
            command += ["--time-stamp-precision=nano", "-w", str(self._raw(suffix))]
            if interface == "any":
                command += ["-y", self._link, "not host 127.0.0.1"]
            self._running[suffix] = Process(
                self._network["sbc"], command, self._folder / f"tcpdump-{suffix}.log"
            )
        wait_until(lambda: all(map(_settled, self._running.values())), "tcpdump", 5)

    def commands(self) -> list[str]:
        return [re.sub(r"/\S*/", "", " ".join(process.command)) for process in self._running.values()]

    def finish(self) -> None:
        """Stop, and insist that the kernel dropped no frame.

        Raises:
            LabError: it did, and the capture is not what was on the wire.
        """
        time.sleep(0.2)
        for suffix, process in self._running.items():
            os.kill(process.pid, signal.SIGINT)
            process.wait(5)
            if "0 packets dropped by kernel" not in process.text():
                raise LabError(f"capture {suffix} is not whole: {process.text().strip()}")

    def pack(
        self, target: Path, name: str, container: packing.Container, vlans: Mapping[str, int]
    ) -> list[str]:
        """Write the shortened files `NAME-SUFFIX.EXT` into `target` and return their names.

        `vlans` puts an 802.1Q tag into the frames of a side: kernels without VLAN devices cannot make them.
        """
        names = []
        for suffix in self._interfaces:
            link, frames = packing.read(self._raw(suffix))
            packed = f"{name}-{suffix}.{packing.extension(container)}"
            short = packing.shortened(frames, link)
            if suffix in vlans:
                short = packing.tagged(short, vlans[suffix])
            packing.write(target / packed, link, short, container)
            names.append(packed)
        return names

    def _raw(self, suffix: str) -> Path:
        return self._folder / f"raw-{suffix}.pcap"


def _settled(process: Process) -> bool:
    return "listening on" in process.text() or process.ended()
