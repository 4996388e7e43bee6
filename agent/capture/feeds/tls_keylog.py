"""SIP over TLS, decrypted by tshark with a key log: each message becomes a frame of its own.

A key log holds the session keys (the SBC's TLS library writes it to SSLKEYLOGFILE). tshark does the TLS. Each
SIP message goes on as UDP between the connection's addresses and ports, raw IP, merged with the other frames,
so nothing behind capture knows of TLS. Input is a capture file or an interface.

tshark is run directly, a line of JSON a packet: pyshark would build every field of every layer for the few
bytes wanted, and needs an event loop in the thread.
"""

from __future__ import annotations

import datetime
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.capture.source import FRAMES
from agent.errors import CaptureError
from agent.wire.frame import LINK_RAW, Batch, Frame, batch_of, origin
from agent.wire.ip.datagram import datagram

_MAX_PAYLOAD = 65535 - 60  # the largest payload of a datagram; a longer message is cut, and its frame says so


class TsharkSource:
    """`Source` of the SIP messages inside TLS. `drops` is None; `cut` counts messages longer than a datagram.

    `live`: `path` names an interface, read beside the caller by a thread; otherwise a capture file, read
    straight through. `tls_ports` are decoded as TLS whatever tshark thinks.

    Raises:
        CaptureError: tshark, the key log or the capture cannot be had.
    """

    def __init__(
        self,
        path: str,
        keylog: str,
        *,
        live: bool = False,
        tls_ports: tuple[int, ...] = (5061,),
        poll_ms: int = 200,
    ) -> None:
        self.frames = 0
        self.bytes = 0
        self.drops: int | None = None
        self.cut = 0
        self._path = path
        self._live = live
        self._poll_s = poll_ms / 1000
        self._closed = threading.Event()
        if not shutil.which("tshark"):
            raise CaptureError("SIP over TLS needs tshark: install it (Debian: apt install tshark)")
        for file, what in ((keylog, "key log"), (path, "capture file")):
            if what == "capture file" and live:
                continue
            try:
                with Path(file).open("rb"):
                    pass
            except OSError as error:
                raise CaptureError(f"{file}: the {what} cannot be read: {error.strerror}") from None
        ports = [word for port in tls_ports for word in ("-d", f"tcp.port=={port},tls")]
        self._command = ["tshark", "-n", "-l", "-i" if live else "-r", path, *ports]
        self._command += ["-o", f"tls.keylog_file:{keylog}", "-Y", "sip && tls"]
        self._command += ["-T", "ek", "-x", "-J", "frame"]  # a line of JSON a packet, with each layer's bytes
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        self._closed.set()
        if self._process:
            self._process.terminate()
            self._process.wait()

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        return self._batches_live() if self._live else self._batches_of_file()

    def _batches_of_file(self) -> Iterator[tuple[Batch, int]]:
        frames: list[Frame] = []
        for frame in self._messages():
            frames.append(frame)
            if len(frames) >= FRAMES:
                yield self._batch(frames)
                frames = []
        if frames:
            yield self._batch(frames)

    def _batches_live(self) -> Iterator[tuple[Batch, int]]:
        items: queue.Queue[Frame | CaptureError] = queue.Queue(10_000)
        thread = threading.Thread(target=self._listen, args=(items,), daemon=True, name="tshark")
        thread.start()
        while not self._closed.is_set():
            frames: list[Frame] = []
            try:
                item = items.get(timeout=self._poll_s)
                while True:
                    if isinstance(item, CaptureError):
                        if frames:
                            yield self._batch(frames)
                        raise item
                    frames.append(item)
                    if len(frames) >= FRAMES:
                        break
                    item = items.get_nowait()
            except queue.Empty:
                pass
            yield self._batch(frames) if frames else (batch_of([]), time.time_ns())

    def _listen(self, items: queue.Queue[Frame | CaptureError]) -> None:
        try:
            for frame in self._messages():
                items.put(frame)
                if self._closed.is_set():
                    return
            items.put(
                CaptureError(f"{self._path}: tshark ended: see that the interface is there and allowed")
            )
        except CaptureError as fault:
            items.put(fault)

    def _batch(self, frames: list[Frame]) -> tuple[Batch, int]:
        frames.sort(key=lambda frame: frame.stamp_ns)
        self.frames += len(frames)
        self.bytes += sum(len(frame.data) for frame in frames)
        return batch_of(frames), frames[-1].stamp_ns

    def _messages(self) -> Iterator[Frame]:
        with subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            self._process = process
            assert process.stdout
            assert process.stderr
            said: list[str] = []
            # Both pipes are read, because tshark stops at a full one.
            reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
            reader.start()
            for line in process.stdout:
                if '"layers"' in line:
                    yield from self._frames(json.loads(line, object_pairs_hook=_lists)["layers"][0])
            status = process.wait()
            reader.join()
        if status and not self._closed.is_set():
            reason = said[-1].strip() if said else f"exit status {status}"
            raise CaptureError(f"{self._path}: tshark failed: {reason}")

    def _frames(self, layers: dict[str, Any]) -> Iterator[Frame]:
        # The innermost of each, where the connection is in a tunnel.
        if "ip_raw" in layers and "ipv6_raw" not in layers:
            header = _octets(layers["ip_raw"])[-1]
            source, destination = header[12:16], header[16:20]
        else:
            header = _octets(layers["ipv6_raw"])[-1]
            source, destination = header[8:24], header[24:40]
        ports = _octets(layers["tcp_raw"])[-1][:4]
        stamp_ns = _stamp(layers["frame"][0]["frame_frame_time_epoch"][0])
        for message in _octets(layers["sip_raw"]):
            kept = message[:_MAX_PAYLOAD]
            self.cut += len(kept) < len(message)
            data = datagram(source, destination, ports, kept)
            yield Frame(data, stamp_ns, origin(LINK_RAW, 0), len(data) + len(message) - len(kept))


def _lists(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """A JSON object whose keys may repeat (two SIP messages in one packet): every value a list."""
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return found


def _octets(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def _stamp(text: str) -> int:
    """Nanoseconds of "1700000000.123456789", or of the ISO time that later versions write."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    if "T" in whole:
        seconds = int(datetime.datetime.fromisoformat(whole + "+00:00").timestamp())
    else:
        seconds = int(whole)
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
