"""`python -m tests.lab.b2bua.music ADDRESS PORT VC_ADDRESS VC_PORT SECONDS`: music of a server of its own.

RTP and sender reports to a socket of the vc, from an address that no SDP names.
"""

from __future__ import annotations

import socket
import sys
import time

from .media import PACKET_S, Source

_REPORT_EVERY = 50


def main(address: str, port: str, vc_address: str, vc_port: str, seconds: str) -> None:
    sockets = []
    for kind in (0, 1):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.bind((address, int(port) + kind))
        each.connect((vc_address, int(vc_port) + kind))
        sockets.append(each)
    source, began = Source(), time.monotonic()
    for number in range(round(float(seconds) / PACKET_S)):
        time.sleep(max(0.0, began + number * PACKET_S - time.monotonic()))
        sockets[0].send(source.packet())
        if number % _REPORT_EVERY == _REPORT_EVERY - 1:
            sockets[1].send(source.report())


if __name__ == "__main__":
    main(*sys.argv[1:])
