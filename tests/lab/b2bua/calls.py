"""What becomes of a call. The digit before the last two of the called number says it (the last two: a host):

1 relay   2 relay, numbers written anew   4 ring a carrier in vain, cancel it and try the next
8 a queue: the vc answers, plays music and calls two agents in turn

In every call the vc obeys REFER itself, takes INVITE with Replaces, and passes re-INVITEs on.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import unquote

from .dialogs import PORT, Dialog, Inbox, Side, Switch
from .media import bridge
from .numbers import HOME, as_carrier, as_pbx
from .sip import Message, uri, user

NET: dict[Side, str] = {"customer": "10.10.0.", "remote": "10.20.0."}
RING_S = 1.5  # how long a carrier may ring in vain
WAIT_S = 2.0  # how long a queue plays music before it tries an agent


class Calls:
    """All calls of the B2BUA, and the switch that they go through."""

    def __init__(self, addresses: dict[Side, str]) -> None:
        self.switch = Switch(addresses, self._begin)
        self._calls: dict[Inbox, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def _begin(self, dialog: Dialog, invite: Message) -> None:
        replaced = self.switch.dialogs.get(invite.header("replaces").split(";")[0])
        task = asyncio.get_running_loop().create_task(self._run(dialog, invite, replaced))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, dialog: Dialog, invite: Message, replaced: Dialog | None) -> None:
        await dialog.media.open()
        if replaced is not None and replaced.inbox is not None:
            dialog.inbox = replaced.inbox
            await self._calls[replaced.inbox].taken_over(dialog, replaced)
            return
        call = Call(self, dialog)
        self._calls[call.inbox] = call
        await call.run(invite)

    def of(self, dialog: Dialog) -> Call | None:
        return self._calls.get(dialog.inbox) if dialog.inbox is not None else None

    def dialog(self, call_id: str) -> Dialog | None:
        return self.switch.dialogs.get(call_id)


class Call:
    """One call. `pair` are the two dialogs whose media is bridged."""

    def __init__(self, calls: Calls, incoming: Dialog) -> None:
        self.inbox: Inbox = asyncio.Queue()
        self.pair: list[Dialog] = [incoming]
        self._calls = calls
        self._incoming = incoming
        self._users = ("", "")
        incoming.inbox = self.inbox
        self._task = asyncio.current_task()

    async def run(self, invite: Message) -> None:
        self._users = (user(uri(invite.header("from"))), invite.called)
        self._log("invite")
        self._incoming.answer(100, "Trying")
        self._incoming.media.hear(invite.body)
        kind, host = self._users[1][-3], int(self._users[1][-2:])
        if kind == "8":
            await self._queue(host)
        elif kind == "4":
            await self._hunt(host)
        else:
            await self._relay(host)
        for dialog in self.pair:
            dialog.bye()
        await asyncio.sleep(1)  # packets on their way
        for dialog in self.pair:
            dialog.media.close()

    # -- kinds of call

    async def _relay(self, host: int) -> None:
        outgoing = await self._leg(host)
        self._call(outgoing)
        status = await self._ring(outgoing, passes_on=True)
        if status >= 300:
            self._incoming.answer(status, "Refused")
            self._log("final", status)
            return
        self._answer(outgoing)
        await self._talk()
        self._log("bye")

    async def _hunt(self, host: int) -> None:
        """The first carrier's 200 may cross the CANCEL: then it is acknowledged and ended by BYE."""
        first, second = await self._leg(host), await self._leg(host + 1)
        self._call(first)
        await self._ring(first, passes_on=True, for_s=RING_S)
        first.cancel()
        self._call(second)
        await self._ring(second, passes_on=True)
        self._answer(second)
        await self._talk()
        self._log("bye")

    async def _queue(self, host: int) -> None:
        """The caller waits with music, speaks to an agent, who leaves, waits again, and speaks to another."""
        self._incoming.answer(200, "OK", self._incoming.media.offer())
        self._log("answer", 200)
        for number in (host, host + 1):
            self._incoming.media.play()
            await asyncio.sleep(WAIT_S)
            agent = await self._leg(number)
            self._call(agent, f"{self._users[1][:-2]}{number:02d}", is_diverted=True)
            await self._ring(agent)
            self._connect(self._incoming, agent)
            if await self._talk() is self._incoming:
                break
        self._log("bye")

    # -- steps

    async def _leg(self, host: int, side: Side | None = None) -> Dialog:
        """A dialog to come with a host of `side`, else of the side that the called number is of."""
        side = side or ("customer" if as_carrier(self._users[1]).startswith(HOME) else "remote")
        call_id = f"{len(self._calls.switch.dialogs)}-{time.time_ns():x}@b2bua"
        leg = Dialog(self._calls.switch, side, (f"{NET[side]}{host}", PORT), call_id)
        leg.inbox = self.inbox
        await leg.media.open()
        self._log("leg", leg=call_id)
        return leg

    def _call(self, leg: Dialog, to_user: str = "", is_diverted: bool = False) -> None:
        caller, called = self._users
        diversion = f"<sip:{called}@{leg.media.address}>;reason=unconditional"  # RFC 5806
        if called[-3] == "2":
            write = as_carrier if leg.side == "remote" else as_pbx
            caller, called = write(caller), write(called)
        headers = (("diversion", diversion),) if is_diverted else ()
        leg.call(caller, to_user or called, leg.media.offer(), headers)

    async def _ring(self, leg: Dialog, passes_on: bool = False, for_s: float = 60) -> int:
        """Waits for the final response of `leg`, and what it was; 0: none came in time.

        Any other leg of the call that answers meanwhile is acknowledged and ended.
        """
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            try:
                dialog, message = await asyncio.wait_for(self.inbox.get(), left)
            except TimeoutError:
                break
            if message.method != "INVITE" or message.status < 180:
                continue
            if message.status < 200:
                if passes_on:
                    self._incoming.answer(180, "Ringing")
            elif dialog is not leg:
                if message.status < 300:
                    dialog.accepted(message)
                    dialog.bye()
            else:
                if message.status < 300:
                    leg.accepted(message)
                return message.status
        return 0

    def _answer(self, outgoing: Dialog) -> None:
        self._incoming.answer(200, "OK", self._incoming.media.offer())
        self._log("answer", 200)
        self._connect(self._incoming, outgoing)

    def _connect(self, one: Dialog, other: Dialog) -> None:
        self.pair = [one, other]
        bridge(one.media, other.media)
        for dialog in self.pair:
            self._log("media", dialog.media.port, peer=dialog.peer[0])

    async def _talk(self) -> Dialog:
        """Until one of the pair hangs up: it."""
        while True:
            dialog, message = await self.inbox.get()
            if message.status:
                continue
            if message.method == "BYE":
                dialog.is_up = False
                if dialog in self.pair:
                    return dialog
            elif message.method == "INVITE" and dialog in self.pair:
                await self._passed_on(dialog, message)
            elif message.method == "REFER":
                await self._referred(dialog, message)

    async def _passed_on(self, dialog: Dialog, invite: Message) -> None:
        """A re-INVITE: the other of the pair is asked the same."""
        (other,) = (each for each in self.pair if each is not dialog)
        dialog.media.hear(invite.body)
        other.invite(other.media.offer(_mode(invite.body)))
        while True:
            answering, message = await self.inbox.get()
            if answering is other and message.method == "INVITE" and message.status >= 200:
                break
        other.accepted(message)
        dialog.answer(200, "OK", dialog.media.offer(_mode(message.body)))

    # -- transfers

    async def _referred(self, transferor: Dialog, refer: Message) -> None:
        """RFC 5589: the vc calls whom Refer-To names, or takes over the dialog that its Replaces names."""
        (stays,) = (each for each in self.pair if each is not transferor)
        self._calls.switch.answer(transferor, refer, 202, "Accepted")
        transferor.notify("SIP/2.0 100 Trying")
        target = uri(refer.header("refer-to"))
        replaced = self._calls.dialog(unquote(target.partition("Replaces=")[2]).split(";")[0])
        if replaced is None:
            host, side = int(user(target)[-2:]), transferor.side
            new = await self._leg(host, side)
            self._call(new, user(target))
            await self._ring(new)
        else:
            other = self._calls.of(replaced)
            assert other is not None
            new = other.given_up(replaced)
            new.inbox = self.inbox
        self._connect(stays, new)
        transferor.notify("SIP/2.0 200 OK", is_last=True)

    def given_up(self, kept_by: Dialog) -> Dialog:
        """This call ends; the far end of the dialog's pair goes on in another."""
        (partner,) = (each for each in self.pair if each is not kept_by)
        assert self._task is not None
        self._task.cancel()
        self._log("bye")
        kept_by.bye()
        return partner

    async def taken_over(self, new: Dialog, replaced: Dialog) -> None:
        """An INVITE with Replaces (RFC 3891) for one of the pair."""
        assert new.invitation is not None
        self._log("leg", leg=new.call_id)
        new.media.hear(new.invitation.body)
        new.answer(200, "OK", new.media.offer())
        (stays,) = (each for each in self.pair if each is not replaced)
        self._connect(stays, new)
        replaced.bye()

    def _log(self, event: str, status: int = 0, leg: str = "", peer: str = "") -> None:
        """As kamailio of the lab logs. `leg`: the Call-ID of a further dialog of the call.

        Of `media` the status is the vc's RTP port towards `peer`.
        """
        fields = [event, f"{time.time():.6f}", self._incoming.call_id, *self._users, str(status)]
        print("LAB|" + "|".join([*fields, peer or self._incoming.peer[0], leg]), flush=True)


def _mode(sdp: str) -> str:
    modes = ("sendonly", "recvonly", "inactive")
    return next((mode for mode in modes if f"a={mode}" in sdp), "sendrecv")
