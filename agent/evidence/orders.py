"""Orders for evidence: a small file that a command writes and the daemon reads once a second."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.errors import ConfigError
from agent.evidence.files import FOLDER
from agent.model.call_cy import Leg
from agent.store.private import make_folder, refused, replace_file

ORDERS = "orders.json"
MAX_ORDERS = 100
LEAST_DIGITS = 3


class Order(Struct, frozen=True, omit_defaults=True):
    """Selects calls until a time, by a number (its last digits, or a user's name), a Call-ID, or a peer's
    address.
    """

    until_ns: int
    number: str = ""
    call_id: str = ""
    peer: str = ""

    @property
    def text(self) -> str:
        return next(
            f"{name} {value}"
            for name, value in (("number", self.number), ("Call-ID", self.call_id), ("peer", self.peer))
            if value
        )

    def fits(self, leg: Leg, call_id: str) -> bool:
        """Whether a leg belongs to a selected call."""
        if self.call_id:
            return self.call_id == call_id
        if self.peer:
            return self.peer in (leg.peer, leg.source)
        return any(_is_number(self.number, user) for user in (leg.from_user, leg.to_user, leg.uri_user))


def _is_number(asked: str, user: str) -> bool:
    """By last digits without separators; a name without digits by its text, in any case."""
    digits = "".join(filter(str.isdecimal, asked))
    if len(digits) >= LEAST_DIGITS:
        return "".join(filter(str.isdecimal, user)).endswith(digits)
    return asked.lower() == user.lower()


class OrderFile:
    """The orders of a store's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FOLDER / ORDERS
        self._seen = (0, 0)
        self._orders: list[Order] = []

    def read(self, now_ns: int) -> list[Order]:
        """Orders in force. The file is read when it changed; an unreadable one holds none."""
        try:
            found = self._path.stat()
            mark = found.st_mtime_ns, found.st_ino
            if mark != self._seen:
                self._seen = mark
                self._orders = msgspec.json.decode(self._path.read_bytes(), type=list[Order])[:MAX_ORDERS]
        except (OSError, msgspec.MsgspecError):
            self._orders = []
        return [order for order in self._orders if order.until_ns > now_ns and _asks(order)]

    def write(self, orders: list[Order]) -> None:
        """Replaces all orders.

        The folder's owner can read the file, even if another user writes it. Raises SbcwatchError.
        """
        if len(orders) > MAX_ORDERS:
            raise ConfigError(f"{MAX_ORDERS} orders stand already: end some with `sbcwatch evidence disarm`")
        folder = self._path.parent
        try:
            make_folder(folder)
            owner = folder.parent.stat()
            replace_file(self._path, msgspec.json.encode(orders))
            if os.geteuid() == 0:
                os.chown(folder, owner.st_uid, owner.st_gid)
                os.chown(self._path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except OSError as error:
            raise refused(error, self._path) from None


def _asks(order: Order) -> bool:
    return bool(order.number or order.call_id or order.peer)
