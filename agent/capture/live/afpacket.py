"""Live capture on Linux: one packet socket, a TPACKET_V3 ring, all interfaces in the kernel's own order.

Frames stay where the kernel wrote them: a batch is a block of the ring, which goes back to the kernel when
the next batch is asked for. Without compiled code the ring's memory cannot be read safely, and the same
socket is read frame by frame (slow, correct).

Stamps are CLOCK_REALTIME, which may step: `agent.capture.clock` moves them onto a clock that does not.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from agent.capture.live import kernel_filter as bpf
from agent.capture.live import linux
from agent.capture.live.linux import Instruction
from agent.capture.live.packet_ring import PacketRing
from agent.capture.live.packet_socket import PacketSocket
from agent.capture.live.ring_cy import COMPILED, SLOTS
from agent.errors import CaptureError
from agent.wire.frame import Batch, CaptureDrop, batch_of

POLL_MS = 200  # longest wait for frames before a batch without any
_WATCH_S = 1.0  # how often the interfaces are checked
_GONE = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENXIO})


class Reader(Protocol):
    """Frames of one socket. `batch` returns the frames that are there; None: no frame."""

    newest_ns: int
    bytes: int

    @property
    def fill(self) -> float | None:
        """The share of its buffer that waits to be read; None: unknown."""

    def batch(self) -> Batch | None: ...

    def renumber(self, old: int, new: int) -> None:
        """Notes the new ifindex of an interface that came back."""
        ...

    def frames_by_interface(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class AfPacket:
    """`Source` over one or several interfaces ("any": all).

    An interface number is slot << 12 | VLAN id: the slot counts the interfaces (16 at most), and the VLAN is
    that of a tag which the kernel took out of the frame. `filter` is a classic BPF program
    (`agent.capture.live.kernel_filter`) that decides which frames are copied, and how much of each;
    `snap_length` (bytes) cuts that further.

    Frames without room in the ring become a `CaptureDrop` between two readings of the kernel's counter. An
    interface that goes down, is removed or loses its carrier becomes a `CaptureDrop` without count each
    second until its return (`outages` counts them). A drop is reported no later than the first frame behind
    it.

    Raises:
        CaptureError: no permission, no such interface, no memory for the ring.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        *,
        filter: list[Instruction] | None = None,
        snap_length: int = bpf.WHOLE,
        ring_mb: int,
        block_timeout_ms: int,
        promiscuous: bool = False,
        poll_ms: int = POLL_MS,
        shared: bool = False,
    ) -> None:
        """`shared`: it is one of several that each take a share; it receives nothing until `let_in`."""
        self.frames = 0
        self.drops: int | None = 0
        self.outages = 0
        self._names = [] if "any" in interfaces else list(dict.fromkeys(interfaces))
        self._program = bpf.cut(filter, snap_length) if filter else bpf.everything(snap_length)
        self._promiscuous = promiscuous
        self._shared = shared
        self._poll_ms = poll_ms
        self._holdback_ns = block_timeout_ms * 1_000_000
        self._found = _look_up(self._names)
        self._away: dict[str, int] = {}  # interface to the instant at which it was last seen up
        try:
            # An unbound socket receives nothing.
            self._socket = linux.sealed(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        except PermissionError:
            raise CaptureError(
                "capturing needs CAP_NET_RAW: run as root, by the systemd unit, or after "
                "`setcap cap_net_raw+ep` on the interpreter"
            ) from None
        self._reader: Reader
        try:
            if COMPILED:
                self._reader = PacketRing(self._socket, ring_mb, block_timeout_ms)
            else:
                self._reader = PacketSocket(self._socket, ring_mb)
            if not shared:
                self._listen()
                linux.dropped(self._socket)
        except OSError as error:
            self._socket.close()
            raise _refused(interfaces, error) from None
        except CaptureError:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)
        self._counted_ns = self._watched_ns = _realtime_ns()
        self._watch_at = time.monotonic() + _WATCH_S
        self._gathered_at = 0.0
        self._losses: list[CaptureDrop] = []
        for name in self._names:
            if not linux.is_up(self._socket, name):
                self._away[name] = self._watched_ns

    def join(self, group: int | None) -> int:
        """Takes a share of the frames of the sockets in `group` (None: a new one). Returns its number."""
        linux.attach_filter(self._socket, bpf.nothing())
        linux.bind(self._socket, 0)
        return linux.fan_out(self._socket, group)

    def let_in(self) -> None:
        """Starts to receive. All must have joined, so that no frame is seen twice."""
        self._listen()
        linux.dropped(self._socket)

    @property
    def bytes(self) -> int:
        return self._reader.bytes

    @property
    def ring_fill(self) -> float | None:
        """The share of the ring that waits to be read; at 1 the next frame is dropped. None: no ring."""
        return self._reader.fill

    @property
    def away(self) -> list[str]:
        """Interfaces that are down or removed at present."""
        return sorted(self._away)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The named interfaces; none: any."""
        return tuple(self._names)

    def frames_by_interface(self) -> dict[str, int]:
        """Frames read, by interface. The last slot stands for all interfaces beyond `SLOTS`."""
        return self._reader.frames_by_interface()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        while True:
            batch = self._reader.batch()
            if batch is None:
                self._wait()
                self._gather()
                batch = self._reader.batch()
            if batch is None:
                # Frames in a block that the kernel has not handed over are younger than this.
                now_ns = _realtime_ns() - self._holdback_ns
                batch = batch_of([])
            else:
                now_ns = self._reader.newest_ns
            self._count_drops()
            if time.monotonic() >= self._watch_at:
                self._watch()
            batch.losses, self._losses = self._losses, []
            self.frames += len(batch)
            yield batch, now_ns

    def _gather(self) -> None:
        """Waits until a block's time-out has passed since the last batch.

        Blocks are small, and each batch costs some 35 us. At 100,000 packets a second a block is full within
        a millisecond.
        """
        left_s = self._gathered_at + self._holdback_ns / 1e9 - time.monotonic()
        if left_s > 0 and self._reader.fill is not None:
            time.sleep(left_s)
        self._gathered_at = time.monotonic()

    def _wait(self) -> None:
        for _, events in self._poll.poll(self._poll_ms):
            if events & select.POLLERR:
                # The interface went down: taking the error lets the socket go on.
                if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in _GONE:
                    self._watch()
                else:
                    time.sleep(self._poll_ms / 1000)

    def _count_drops(self) -> None:
        dropped = linux.dropped(self._socket)
        now_ns = _realtime_ns()
        if dropped:
            self.drops = (self.drops or 0) + dropped
            self._losses.append(CaptureDrop(min(self._counted_ns, now_ns), now_ns, dropped))
        self._counted_ns = now_ns

    def _watch(self) -> None:
        """Finds interfaces that went and came back, and listens to those again."""
        self._watch_at = time.monotonic() + _WATCH_S
        now_ns = _realtime_ns()
        back = []
        changed = False
        for name in self._names:
            up = linux.is_up(self._socket, name)
            ifindex = _ifindex(name) if up else None
            if not up:
                if name not in self._away:
                    self._away[name] = self._watched_ns
                    self.outages += 1
                continue
            if ifindex is not None and ifindex != self._found.get(name):
                if name not in self._away:  # it went and came between two checks
                    self._away[name] = self._watched_ns
                    self.outages += 1
                self._reader.renumber(self._found[name], ifindex)
                self._found[name] = ifindex
                changed = True
            if name in self._away:
                back.append(name)
        if changed:
            try:
                self._listen()
            except OSError:
                return  # gone again: the next check tries once more
        if not self._names:
            self._watch_all()
        for name in back:
            self._lose(name)
            del self._away[name]
        for name in self._away:
            self._lose(name)  # each minute must have the loss before it closes
        self._watched_ns = now_ns

    def _watch_all(self) -> None:
        """Watches "any": interfaces that had frames and are down. A removed interface is not missed."""
        for name in {*self._reader.frames_by_interface(), *self._away}:
            if linux.is_up(self._socket, name):
                if name in self._away:
                    self._lose(name)
                    del self._away[name]
            elif _ifindex(name) is None:
                self._away.pop(name, None)
            elif name not in self._away:
                self._away[name] = self._watched_ns
                self.outages += 1

    def _lose(self, name: str) -> None:
        """Reports that nothing came from an interface since it was last seen up, or since the last report."""
        since_ns, now_ns = self._away[name], _realtime_ns()
        self._losses.append(CaptureDrop(min(since_ns, now_ns), now_ns, None))
        self._away[name] = now_ns

    def _listen(self) -> None:
        """Attaches the filter first, then binds: no unwanted frame gets in."""
        ifindexes = list(self._found.values())
        if len(ifindexes) == 1 and not self._shared:
            linux.attach_filter(self._socket, self._program)
            linux.bind(self._socket, ifindexes[0])
        else:
            chosen = bpf.only_from(self._program, ifindexes) if ifindexes else self._program
            linux.attach_filter(self._socket, chosen)
            if not self._shared:  # a shared socket stays bound
                linux.bind(self._socket, 0)
        if self._promiscuous:
            for ifindex in ifindexes:
                linux.promiscuous(self._socket, ifindex)


def fanned_out(
    count: int,
    interfaces: Sequence[str],
    *,
    filter: list[Instruction] | None = None,
    snap_length: int = bpf.WHOLE,
    ring_mb: int,
    block_timeout_ms: int,
    promiscuous: bool = False,
) -> list[AfPacket]:
    """`count` captures that share the flows of `interfaces` by PACKET_FANOUT_HASH, and `ring_mb`.

    Raises:
        CaptureError: as `AfPacket`.
    """
    taken: list[AfPacket] = []
    try:
        for _ in range(count):
            taken.append(
                AfPacket(
                    interfaces,
                    filter=filter,
                    snap_length=snap_length,
                    ring_mb=max(1, ring_mb // count),
                    block_timeout_ms=block_timeout_ms,
                    promiscuous=promiscuous,
                    # An idle share delays the others until it reports that it is idle.
                    poll_ms=POLL_MS if count == 1 else block_timeout_ms,
                    shared=count > 1,
                )
            )
        if count > 1:
            group = None
            for each in taken:
                group = each.join(group)
            for each in taken:
                each.let_in()
    except (CaptureError, OSError) as error:
        for each in taken:
            each.close()
        if isinstance(error, OSError):
            raise _refused(interfaces, error) from None
        raise
    return taken


def _refused(interfaces: Sequence[str], error: OSError) -> CaptureError:
    return CaptureError(f"cannot capture on {', '.join(interfaces)}: {error.strerror or error}")


def _realtime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def _ifindex(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _look_up(names: Sequence[str]) -> dict[str, int]:
    if len(names) > SLOTS:
        raise CaptureError(
            f"{len(names)} interfaces are more than the {SLOTS} one capture takes: name fewer, or any"
        )
    found = {}
    for name in names:
        ifindex = _ifindex(name)
        if ifindex is None:
            there = ", ".join(each for _, each in socket.if_nameindex())
            raise CaptureError(f"there is no interface {name}: name one of {there}, or any")
        found[name] = ifindex
    return found
