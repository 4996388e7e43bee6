"""Telling systemd: READY=1, WATCHDOG=1, STOPPING=1 (sd_notify(3)). Outside systemd nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """Sends states to the socket that `NOTIFY_SOCKET` names."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # "@" stands for the leading NUL of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def send(self, state: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # systemd gone or busy: the watchdog judges, not we
                self._socket.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)
