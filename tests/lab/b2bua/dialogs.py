"""Dialogs, and the two sockets that they share. The lab's links lose nothing, so nothing repeats."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from typing import Literal

from .media import Media
from .sip import MAGIC, Message, parameter, uri, written

Side = Literal["customer", "remote"]
Headers = tuple[tuple[str, str], ...]
Inbox = asyncio.Queue[tuple["Dialog", Message]]  # what reaches a call, and in which of its dialogs
PORT = 5060
_ANSWERED_BY_ITSELF = ("BYE", "CANCEL", "NOTIFY", "OPTIONS", "INFO", "UPDATE")
_DIALOG_NAMES = ("from", "to", "call-id", "cseq")


def tag(call_id: str) -> str:
    """The tag of the B2BUA's end of a dialog: whoever writes a Replaces can foretell it."""
    return "b2b" + hashlib.sha256(call_id.encode()).hexdigest()[:10]


class Switch:
    """A UDP socket on each side. `on_call` gets each new dialog with its INVITE."""

    def __init__(self, addresses: dict[Side, str], on_call: Callable[[Dialog, Message], None]) -> None:
        self.addresses = addresses
        self.dialogs: dict[str, Dialog] = {}  # by Call-ID: each dialog of the B2BUA has one of its own
        self._on_call = on_call
        self._sockets: dict[Side, asyncio.DatagramTransport] = {}
        self._answers: dict[tuple[str, str], bytes] = {}

    async def open(self) -> None:
        for side, address in self.addresses.items():
            socket, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda side=side: _Receiver(self, side),  # type: ignore[misc]
                local_addr=(address, PORT),
            )
            self._sockets[side] = socket

    def send(self, side: Side, peer: tuple[str, int], data: bytes) -> None:
        self._sockets[side].sendto(data, peer)

    def answer(self, dialog: Dialog, request: Message, status: int, reason: str, body: str = "") -> None:
        """A response along the request's Via, the To tag ours."""
        names = ("via", "record-route", *_DIALOG_NAMES)
        headers = request.copied(*names)
        if status > 100 and not parameter(request.header("to"), "tag"):
            headers = [(n, f"{v};tag={dialog.tag}" if n == "to" else v) for n, v in headers]
        headers.append(("contact", dialog.contact))
        data = written(f"SIP/2.0 {status} {reason}", headers, body)
        self._answers[request.branch, request.method] = data
        self.send(dialog.side, dialog.peer, data)

    def receive(self, side: Side, data: bytes, peer: tuple[str, int]) -> None:
        message = Message.parse(data)
        if message is None:
            return
        dialog = self.dialogs.get(message.call_id)
        if message.status:
            if dialog is not None:
                dialog.receive(message)
            return
        if again := self._answers.get((message.branch, message.method)):
            self.send(side, peer, again)
            return
        if dialog is None:
            if message.method != "INVITE":
                return
            dialog = Dialog(self, side, peer, message.call_id)
            dialog.begun_by(message)
            self._on_call(dialog, message)
            return
        if message.method in _ANSWERED_BY_ITSELF:
            self.answer(dialog, message, 200, "OK")
        if message.method != "ACK":
            dialog.receive(message)


class Dialog:
    """One dialog of the B2BUA with a party, and the media that belongs to it."""

    def __init__(self, switch: Switch, side: Side, peer: tuple[str, int], call_id: str) -> None:
        self.switch = switch
        self.side: Side = side
        self.peer = peer
        self.call_id = call_id
        self.tag = tag(call_id)
        self.media = Media(switch.addresses[side])
        self.inbox: Inbox | None = None
        self.invitation: Message | None = None  # the far end's last INVITE
        self.is_up = False
        self._local = self._remote = self._target = ""
        self._asked = ("", "")  # Request-URI and To of our initial INVITE: its CANCEL repeats them
        self._cseq = 0
        self._invite_cseq = 0
        self._branch = ""
        self._branches = itertools.count(1)
        switch.dialogs[call_id] = self

    @property
    def contact(self) -> str:
        return f"<sip:b2bua@{self.switch.addresses[self.side]}:{PORT}>"

    def begun_by(self, invite: Message) -> None:
        """The far end calls."""
        self.invitation = invite
        self._local, self._remote = invite.header("to") + f";tag={self.tag}", invite.header("from")
        self._target = uri(invite.header("contact"))

    def receive(self, message: Message) -> None:
        if message.method == "INVITE":
            if not message.status:
                self.invitation = message
            elif message.status >= 300:
                self._acknowledge(self._branch)
            if target := message.header("contact"):
                self._target = uri(target)
            if message.status > 100:
                self._remote = message.header("to")
        if self.inbox is not None:
            self.inbox.put_nowait((self, message))

    # -- as the caller

    def call(self, from_user: str, to_user: str, sdp: str, headers: Headers = ()) -> None:
        """The initial INVITE."""
        here = self.switch.addresses[self.side]
        self._local = f"<sip:{from_user}@{here}>;tag={self.tag}"
        self._remote = f"<sip:{to_user}@{self.peer[0]}>"
        self._target = f"sip:{to_user}@{self.peer[0]}:{self.peer[1]}"
        self._asked = (self._target, self._remote)
        self.invite(sdp, headers)

    def invite(self, sdp: str, headers: Headers = ()) -> None:
        self._branch = self.request("INVITE", sdp, headers)
        self._invite_cseq = self._cseq

    def accepted(self, answer: Message) -> None:
        """The 2xx of our INVITE: ACK, and its SDP."""
        self.is_up = True
        self._acknowledge("")
        self.media.hear(answer.body)

    def cancel(self) -> None:
        self._send("CANCEL", self._branch, self._invite_cseq)

    def _acknowledge(self, branch: str) -> None:
        """`branch` is the INVITE's for a failure (RFC 3261 17.1.1.3), else a new one."""
        self._send("ACK", branch or self._new_branch(), self._invite_cseq)

    # -- as the callee

    def answer(self, status: int, reason: str, body: str = "") -> None:
        """To the far end's last INVITE."""
        assert self.invitation is not None
        if 200 <= status < 300:
            self.is_up = True
        self.switch.answer(self, self.invitation, status, reason, body)

    # -- either

    def request(self, method: str, body: str = "", headers: Headers = ()) -> str:
        """A request with the next CSeq; its branch."""
        self._cseq += 1
        branch = self._new_branch()
        self._send(method, branch, self._cseq, body, headers)
        return branch

    def notify(self, line: str, is_last: bool = False) -> None:
        """How the call that a REFER asked for goes (RFC 3515 2.4.4)."""
        state = "terminated;reason=noresource" if is_last else "active;expires=60"
        self.request("NOTIFY", line + "\r\n", (("event", "refer"), ("subscription-state", state)))

    def bye(self) -> None:
        if self.is_up:
            self.is_up = False
            self.request("BYE")

    def _new_branch(self) -> str:
        return f"{MAGIC}{self.tag}{next(self._branches)}"

    def _send(
        self,
        method: str,
        branch: str,
        cseq: int,
        body: str = "",
        headers: Headers = (),
    ) -> None:
        here = self.switch.addresses[self.side]
        target, remote = self._asked if method == "CANCEL" else (self._target, self._remote)
        common = [
            ("via", f"SIP/2.0/UDP {here}:{PORT};branch={branch}"),
            ("max-forwards", "70"),
            ("from", self._local),
            ("to", remote),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", self.contact),
        ]
        self.switch.send(
            self.side, self.peer, written(f"{method} {target} SIP/2.0", [*common, *headers], body)
        )


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, switch: Switch, side: Side) -> None:
        self._switch = switch
        self._side: Side = side

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._switch.receive(self._side, data, addr)
