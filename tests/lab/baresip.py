"""baresip as an endpoint: real RTP and RTCP, and its own summary of each call as an independent judge."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import wave
from dataclasses import dataclass
from pathlib import Path

from .network import connect_in
from .processes import LabError, Process, wait_until

_CONTROL_PORT = 4444
_RATE = 8000

_CONFIG = """\
poll_method epoll
sip_listen {listen}
net_interface {address}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,x
audio_source aufile,{tone}
audio_alert aubridge,x
audio_level no
audio_txmode thread
ausrc_format s16
auplay_format s16
rtp_tos 184
rtp_ports 10000-20000
rtcp_mux no
jitter_buffer_delay 1-20
rtp_stats yes
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module rtcpsummary.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {control}
"""


@dataclass(frozen=True)
class Summary:
    """The `EX=` line that baresip prints when a call ends. Packets; jitter and RTT in milliseconds."""

    seconds: int
    received: int
    sent: int
    lost_received: int  # of what it was sent, by its own receiver
    lost_sent: int  # of what it sent, by the far end's reports
    jitter_received_ms: float
    jitter_sent_ms: float
    rtt_ms: float


def parse_summaries(text: str) -> list[Summary]:
    """All `EX=` lines in baresip's output, in order; a line without the packet fields is skipped."""
    found = []
    for line in re.findall(r"EX=BareSip;\S*", text):
        fields = dict(part.split("=", 1) for part in line.split(";") if "=" in part)
        try:
            received, sent = fields["PR"], fields["PS"]
            lost = fields["PL"].split(",")
            jitter = fields["JI"].split(",")
            found.append(
                Summary(
                    seconds=int(fields["CD"]),
                    received=int(received),
                    sent=int(sent),
                    lost_received=int(lost[0]),
                    lost_sent=int(lost[1]),
                    jitter_received_ms=float(jitter[0]),
                    jitter_sent_ms=float(jitter[1]),
                    rtt_ms=float(fields["DL"]),
                )
            )
        except (KeyError, IndexError, ValueError):
            continue
    return found


def tone(path: Path, seconds: int) -> None:
    """A mono 8 kHz WAV of a 440 Hz sine. A baresip call ends with its file: make it longer than the call."""
    period = [int(8000 * math.sin(2 * math.pi * 440 * n / _RATE)) for n in range(_RATE)]
    second = struct.pack(f"<{_RATE}h", *period)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        for _ in range(seconds):
            out.writeframes(second)


class Baresip:
    """One running baresip, driven over its JSON control port."""

    def __init__(
        self, namespace: str, address: str, uid: int, user: str, folder: Path, tone_file: Path, codecs: str
    ) -> None:
        self._namespace = namespace
        self._address = address
        bracketed = f"[{address}]" if ":" in address else address
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config").write_text(
            _CONFIG.format(
                listen=f"{bracketed}:5060",
                address=address,
                tone=tone_file,
                modules=_modules(),
                control=f"{bracketed}:{_CONTROL_PORT}",
            ),
            encoding="utf-8",
        )
        account = f"<sip:{user}@{bracketed}>;regint=0;answermode=auto;audio_codecs={codecs}"
        account += f";auth_user={user};auth_pass=secret"
        (folder / "accounts").write_text(account + "\n", encoding="utf-8")
        (folder / "contacts").write_text("", encoding="utf-8")
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, -1)
        self.process = Process(namespace, ["baresip", "-f", str(folder)], folder.with_suffix(".log"), uid=uid)
        wait_until(lambda: "baresip is ready" in self.process.text() or self.process.ended(), "baresip", 10)
        if self.process.ended():
            raise LabError(f"baresip ended: {self.process.text()[-400:]}")

    def command(self, name: str, params: str = "") -> None:
        """Send one menu command (dial, hangup, hold, resume, sndcode...) and read its answer.

        Raises:
            LabError: baresip refused it.
        """
        body = json.dumps({"command": name, "params": params, "token": "lab"})
        with connect_in(self._namespace, (self._address, _CONTROL_PORT)) as control:
            control.sendall(f"{len(body)}:{body},".encode())
            answer = b""
            while b'"response":true' not in answer or not answer.endswith(b","):
                chunk = control.recv(65536)
                if not chunk:
                    break
                answer += chunk
        if b'"ok":true' not in answer:
            raise LabError(f"baresip {name} {params}: {answer.decode(errors='replace')}")

    def summaries(self) -> list[Summary]:
        return parse_summaries(self.process.text())


def _modules() -> str:
    return "/usr/lib/baresip/modules"
