"""Telling systemd: READY=1, WATCHDOG=1, STOPPING=1 (sd_notify(3)). Outside systemd nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket

from agent.capture.live.linux import sealed


class Notifier:
    """Sends states to the socket that `NOTIFY_SOCKET` names."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._socket: socket.socket | None = None
        if address:
            # Connected, because a confined process cannot name another socket later.
            self._socket = sealed(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                # "@" stands for the leading NUL of an abstract socket.
                self._socket.connect("\0" + address[1:] if address.startswith("@") else address)

    def fileno(self) -> int | None:
        return self._socket.fileno() if self._socket is not None else None

    def send(self, state: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # systemd is gone or busy: its watchdog decides
                self._socket.send(state.encode(), socket.MSG_DONTWAIT)
