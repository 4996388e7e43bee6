"""One bounded table for whatever waits: strangers' entries make room for those of peers.

Anybody can fill such a table from addresses that he invents. So each entry is a stranger's or a peer's:
somebody the vc deals with (`peers_cy`), or of whom both directions were seen. When the table is full the
oldest stranger's entry goes, and a peer's only where no stranger has one. Strangers have at most half of the
bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

STRANGERS_SHARE = 2  # one half of the bytes is for strangers

Name = TypeVar("Name", bound=Hashable)
Entry = TypeVar("Entry")


class SharedTable(Generic[Name, Entry]):
    """Entries by name, each class in order: the first one goes first."""

    def __init__(self, most: int, most_bytes: int = 0) -> None:
        """`most`: entries; `most_bytes`: bytes of all entries, 0: they are not counted."""
        self._most = most
        self._most_bytes = most_bytes
        self._strangers: OrderedDict[Name, Entry] = OrderedDict()
        self._peers: OrderedDict[Name, Entry] = OrderedDict()
        self._sizes: dict[Name, int] = {}
        self._strangers_bytes = 0
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._strangers) + len(self._peers)

    def __iter__(self) -> Iterator[Name]:
        yield from self._strangers
        yield from self._peers

    def get(self, name: Name) -> Entry | None:
        found = self._peers.get(name)
        return self._strangers.get(name) if found is None else found

    def add(self, name: Name, entry: Entry, is_peer: bool) -> None:
        """Adds an entry whose name is free. The caller then makes room (`crowded`)."""
        (self._peers if is_peer else self._strangers)[name] = entry

    def renew(self, name: Name) -> None:
        """The entry goes last of its class from now on."""
        (self._peers if name in self._peers else self._strangers).move_to_end(name)

    def promote(self, name: Name) -> None:
        """The entry turned out to be a peer's."""
        entry = self._strangers.pop(name, None)
        if entry is not None:
            self._peers[name] = entry
            self._strangers_bytes -= self._sizes.get(name, 0)

    def size(self, name: Name, size: int) -> None:
        """The entry has so many bytes now."""
        change = size - self._sizes.get(name, 0)
        if change:
            self._sizes[name] = size
            self.held_bytes += change
            if name in self._strangers:
                self._strangers_bytes += change

    def pop(self, name: Name) -> Entry | None:
        self.size(name, 0)
        self._sizes.pop(name, None)
        found = self._strangers.pop(name, None)
        return self._peers.pop(name, None) if found is None else found

    def oldest(self) -> list[tuple[Name, Entry]]:
        """The first entry of each class."""
        return [next(iter(table.items())) for table in (self._strangers, self._peers) if table]

    def crowded(self) -> Name | None:
        """The entry that must go; None: there is room for all."""
        if self._is_full():
            return next(iter(self._strangers or self._peers))
        too_many = 0 < self._most_bytes // STRANGERS_SHARE < self._strangers_bytes
        return next(iter(self._strangers)) if too_many and len(self._strangers) > 1 else None

    def _is_full(self) -> bool:
        return len(self) > self._most or 0 < self._most_bytes < self.held_bytes
