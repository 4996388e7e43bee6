"""What rtpengine itself counted of a call: its control protocol's `query` (bencode over UDP)."""

from __future__ import annotations

import socket
from typing import Any

CONTROL = ("127.0.0.1", 2223)


def relayed(call_id: str, timeout_s: float = 2.0) -> dict[tuple[str, int], int]:
    """Local socket to the RTP packets that rtpengine received on it. From inside the sbc's namespace.

    rtpengine keeps a call for half a minute after its deletion. Empty where it knows no such call.
    """
    question = f"q d7:call-id{len(call_id)}:{call_id}7:command5:querye".encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(timeout_s)
        control.sendto(question, CONTROL)
        answer, _ = _decoded(control.recv(65_535), 2)
    packets: dict[tuple[str, int], int] = {}
    for tag in answer.get("tags", {}).values():
        for media in tag.get("medias", []):
            for stream in media.get("streams", []):
                if "RTP" in stream.get("flags", []):
                    local = (str(stream["local address"]), int(stream["local port"]))
                    packets[local] = int(stream["stats"]["packets"])
    return packets


def _decoded(data: bytes, at: int) -> tuple[Any, int]:
    """(value, where the next one begins) of bencode."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"d", b"l"):
        values, at = [], at + 1
        while data[at : at + 1] != b"e":
            value, at = _decoded(data, at)
            values.append(value)
        if kind == b"l":
            return values, at + 1
        return dict(zip(values[::2], values[1::2], strict=True)), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(errors="replace"), end
