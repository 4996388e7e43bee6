# cython: language_level=3
"""Addresses that the vc deals with: whose packets are no stranger's."""

from __future__ import annotations

from collections import OrderedDict

import cython

MAX_PEERS = 16_384  # the one that the vc dealt with longest ago goes
SUCCESS, RINGING = b"SIP/2.0 2", b"SIP/2.0 18"  # responses of the vc that take a call up


class Peers:
    """Far addresses that the vc deals with.

    It sent them a request, took up their call or their registration, or sends them data over TCP. A refusal,
    a challenge and an answer to OPTIONS prove nothing: anybody gets them, whatever source he forges.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._newest = ""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, address: str) -> bool:
        return bool(self.knows(address))

    def knows(self, address: str) -> cython.bint:
        return address == self._newest or address in self._known

    def sent(self, address: str, message: bytes) -> None:
        """The vc sent this SIP message to `address`."""
        if address == self._newest:
            return
        if not message.startswith(b"SIP/2.0") or is_taken_up(message) or _is_registered(message):
            self.add(address)

    def add(self, address: str) -> None:
        if address == self._newest:
            return
        self._newest = address
        known = self._known
        if address in known:
            known.move_to_end(address)
            return
        known[address] = None
        if len(known) > MAX_PEERS:
            known.popitem(last=False)


def is_taken_up(message: bytes) -> cython.bint:
    """Whether a message of the vc takes a call up."""
    if not message.startswith(SUCCESS) and not message.startswith(RINGING):
        return False
    return message.find(b" INVITE\r\n") >= 0  # `in` would make an exception first, and drop it


def _is_registered(message: bytes) -> cython.bint:
    return message.startswith(SUCCESS) and message.find(b" REGISTER\r\n") >= 0
