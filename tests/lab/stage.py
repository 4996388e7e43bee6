"""What one scenario has to play with: its own endpoints on both sides, its own counters, its own losses."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from . import counters, sipp, truth
from .baresip import Baresip, tone
from .network import FIRST_HOST, SIDES, Network, Side, host_address, inside, vc_address
from .processes import LabError, Process, wait_until
from .sbc import Logged, Sbc

if TYPE_CHECKING:
    from .scenarios import Scenario

_LOSS_AFTER_S = 1.0  # from a stream's first packet: a receiver's baseline is then set
_LOSS_BEFORE_END_S = 6.0  # RTCP comes every 5 s: one more report follows the last drop
_REFUSED_GRACE_S = 0.3  # sipp prints no line when it listens

# E.164 numbers for fiction: 555-0xxx in the USA for the customer, 020 7946 0xxx in London for the remote.
_NUMBERS: dict[Side, str] = {"customer": "+12065550", "remote": "+442079460"}


class Stage:
    """Two hosts on each side, numbered by the scenario's slot."""

    def __init__(
        self,
        network: Network,
        sbc: Sbc,
        folder: Path,
        slot: int,
        use: int,
        scenario: Scenario,
        stopping: threading.Event,
    ) -> None:
        self._network = network
        self._sbc = sbc
        self._folder = folder
        self._scenario = scenario
        first = FIRST_HOST + 2 * slot
        self.hosts = (first, first + 1)
        self.version = scenario.version
        self._parties = counters.Parties(
            use, scenario.version, {"customer": self.hosts, "remote": self.hosts}
        )
        self._started: list[tuple[Side, Process]] = []
        self._phones: list[tuple[Side, Baresip]] = []
        self._losses: list[counters.Loss] = []
        self._began = 0.0
        self._gone_at: float | None = None
        self._stopping = stopping
        self.commands: list[str] = []

    def __enter__(self) -> Stage:
        self._folder.mkdir()
        self._folder.chmod(0o755)
        counters.count(self._network, self._parties)
        self._began = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in self._started:
            process.stop()

    @property
    def caller(self) -> Side:
        return "customer" if self._scenario.direction == "outbound" else "remote"

    @property
    def callee(self) -> Side:
        return "remote" if self._scenario.direction == "outbound" else "customer"

    def number(self, side: Side, host: int | None = None, service: int | None = None) -> str:
        """A host's number; as a called number it carries the class of service (kamailio.cfg)."""
        digit = self._scenario.service if service is None else service
        return f"{_NUMBERS[side]}{digit}{host or self.hosts[0]:02d}"

    # sipp

    def answering(self, steps: Sequence[str], calls: int = 1, host: int | None = None) -> Process:
        """A sipp callee; started before the call."""
        host = host or self.hosts[0]
        process = self._sipp(self.callee, host, steps, f"uas-{host}", calls=calls)
        self.sleep(_REFUSED_GRACE_S)
        return process

    def calling(
        self,
        steps: Sequence[str],
        calls: int = 1,
        rate: int = 10,
        user: str | None = None,
        number: str | None = None,
    ) -> Process:
        """A sipp caller of the first host on the other side, by its `number` or as that is dialled."""
        target = (number or self.number(self.callee), vc_address(self.caller, self.version))
        name = user or self.number(self.caller, service=1)
        return self._sipp(
            self.caller, self.hosts[0], steps, "uac", calls=calls, rate=rate, user=name, target=target
        )

    def party(
        self,
        side: Side,
        host: int,
        steps: Sequence[str],
        *,
        port: int = 5060,
        number: str = "",
        call_id: str = "",
    ) -> Process:
        """A further sipp: a callee, or a caller of `number`. A second one of a host has a port of its own."""
        target = (number, vc_address(side, self.version)) if number else None
        name = f"{side}-{host}-{port}"
        process = self._sipp(side, host, steps, name, calls=1, target=target, port=port, call_id=call_id)
        if not number:
            self.sleep(_REFUSED_GRACE_S)
        return process

    def voice(self, ssrc: int) -> str:
        """A sipp step: play the clip with this SSRC."""
        return sipp.play(sipp.voiced(self._folder, ssrc))

    def finish(self, *processes: Process, timeout_s: float = 60, wanted: int = 0) -> None:
        """Wait for sipps to end with status `wanted`: 0 when all calls went as written.

        Raises:
            LabError: one was not; its error file is in the message.
        """
        for process in processes:
            status = process.wait(timeout_s)
            if status != wanted:
                errors = "".join(
                    path.read_text(errors="replace")[-800:] for path in self._folder.glob("*.err")
                )
                raise LabError(f"{self._scenario.name}: sipp ended with {status}: {errors}")

    def _sipp(
        self,
        side: Side,
        host: int,
        steps: Sequence[str],
        name: str,
        *,
        calls: int,
        rate: int = 10,
        user: str | None = None,
        target: tuple[str, str] | None = None,
        port: int = 5060,
        call_id: str = "",
    ) -> Process:
        local = host_address(side, host, self.version)
        user = user or self.number(side, host, service=1)
        process = sipp.start(
            self._network[side],
            local,
            steps,
            self._folder,
            name,
            user=user,
            target=target,
            calls=calls,
            rate=rate,
            port=port,
            call_id=call_id,
        )
        return self._note(side, process)

    # baresip

    def phone(
        self, side: Side, seconds: int, codecs: str = "PCMA/8000/1", host: int | None = None
    ) -> Baresip:
        """A baresip on the side's first host, or `host`, with audio for `seconds` of call and then some."""
        host = host or self.hosts[0]
        name = f"{side}-{host}" if host != self.hosts[0] else side
        audio = self._folder / f"tone-{name}.wav"
        tone(audio, seconds + 30)
        phone = Baresip(
            self._network[side],
            host_address(side, host, self.version),
            self._network.pin(side, host),
            # The callee is looked up by the number that was called.
            self.number(side, host, service=None if side == self.callee else 1),
            self._folder / f"baresip-{name}",
            audio,
            codecs,
        )
        self._note(side, phone.process)
        self._phones.append((side, phone))
        return phone

    def dial(self, phone: Baresip) -> None:
        address = vc_address(self.caller, self.version)
        phone.command(
            "dial", f"sip:{self.number(self.callee)}@{f'[{address}]' if ':' in address else address}"
        )

    def converse(
        self,
        seconds: float,
        lossy: Sequence[str] = (),
        percent: int = 2,
        meanwhile: Callable[[Baresip, Baresip], None] | None = None,
        hang_up: bool = True,
        callee_codecs: str = "PCMA/8000/1",
    ) -> None:
        """A call between two baresips. `lossy` directions lose RTP from 1 s on until 6 s before the end.

        `meanwhile` is called with caller and callee once media flows, and its time is part of `seconds`.
        """
        losses = [counters.Loss(self._network, self._parties, way, percent) for way in lossy]
        self._losses += losses
        callee = self.phone(self.callee, int(seconds), callee_codecs)
        caller = self.phone(self.caller, int(seconds))
        self.dial(caller)
        ways = ("cust2vc_rtp", "rem2vc_rtp")
        wait_until(lambda: all(self._counted()[way].packets for way in ways), "media", 10)
        began = time.monotonic()
        if losses:
            self.sleep(_LOSS_AFTER_S)
            for loss in losses:
                loss.on()
            self.sleep(seconds - _LOSS_AFTER_S - _LOSS_BEFORE_END_S)
            for loss in losses:
                loss.off()
        if meanwhile:
            meanwhile(caller, callee)
        self.sleep(began + seconds - time.monotonic())
        if hang_up:
            caller.command("hangup")
            wait_until(lambda: all(phone.summaries() for phone in (caller, callee)), "both summaries", 5)

    def settle(self, condition: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
        """Wait until something holds that programs or counters show."""
        wait_until(condition, what, timeout_s)

    def heard(self, way: str) -> int:
        """RTP packets counted so far in a direction."""
        return self._counted()[f"{way}_rtp"].packets

    def log(self) -> list[Logged]:
        """What the SBC has logged of this scenario's calls so far."""
        hosts = {host_address(side, host, self.version) for side in SIDES for host in self.hosts}
        log = self._sbc.log()
        ids = {line.call_id for line in log if line.peer in hosts and line.at >= self._began}
        return [line for line in log if line.call_id in ids]

    def stand_in(self, side: Side, host: int, target: tuple[str, int], seconds: float) -> None:
        """A media server that no SDP names: RTP and RTCP from `host` to a socket of the vc."""
        command = [sys.executable, "-m", "tests.lab.b2bua.music", host_address(side, host), "7000"]
        command += [target[0], str(target[1]), str(seconds)]
        log = self._folder / "music.log"
        music = Process(self._network[side], command, log, cwd=Path(__file__).parents[2])
        self._note(side, music)
        if music.wait(seconds + 10):
            raise LabError(f"no music: {music.text()[-400:]}")

    def sleep(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            LabError: the lab was closed meanwhile.
        """
        if self._stopping.wait(max(0.0, seconds)):
            raise LabError("the lab was closed")

    def lose_acks(self, seconds: float) -> None:
        """Lose the ACKs between sbc and callee for a while, so that the callee repeats its 200."""
        # Behind the sbc: sipp takes a send that fails for the end of the world.
        way = "vc2rem" if self.callee == "remote" else "vc2cust"
        loss = counters.Loss(self._network, self._parties, way, 100, counters.ACK)
        loss.on()
        self.sleep(seconds)
        loss.off()
        if not loss.dropped():
            raise LabError("no ACK came to be lost")

    def keep_alive(self) -> None:
        """An empty line to the vc from a host on each side (RFC 5626 section 4.4.1): time passes, no call."""
        for side in SIDES:
            with inside(self._network[side]):
                family = socket.AF_INET if self.version == 4 else socket.AF_INET6
                with socket.socket(family, socket.SOCK_DGRAM) as sender:
                    sender.bind((host_address(side, self.hosts[0], self.version), 5060))
                    sender.sendto(b"\r\n\r\n", (vc_address(side, self.version), 5060))

    def power_cut(self) -> None:
        """Kill every endpoint at once: no BYE, no RTCP BYE."""
        for _, process in self._started:
            process.kill()
        self._gone_at = time.time()

    # the end

    def truth(self) -> truth.Truth:
        told = truth.tell(
            self._scenario.direction,
            self._scenario.expect,
            self.log(),
            self._counted(),
            self.version,
            {loss.direction: loss.dropped() for loss in self._losses},
            {
                side: [each for at, phone in self._phones if at == side for each in phone.summaries()]
                for side in dict.fromkeys(at for at, _ in self._phones)
            },
        )
        if self._scenario.delay:
            told["network"] = {
                "between": "customer and sbc, each way",
                "delay_ms": self._scenario.delay.delay_ms,
                "jitter_ms": self._scenario.delay.jitter_ms,
                "keeps_order": self._scenario.delay.keep_order,
                "duplicate_ratio": self._scenario.delay.duplicate_ratio,
            }
        told["active_until"] = self._gone_at
        return told

    def _counted(self) -> dict[str, counters.Count]:
        return counters.counted(self._network, self._parties)

    def _note(self, side: Side, process: Process) -> Process:
        self._started.append((side, process))
        self.commands.append(f"{side}: {' '.join(process.command)}")
        return process
