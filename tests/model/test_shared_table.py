"""The table that strangers and peers share: who goes, and what its bytes come to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.model.shared_table import SharedTable


def filled(table: SharedTable[str, int], *names: str, is_peer: bool = False, size: int = 0) -> None:
    for name in names:
        table.add(name, 0, is_peer)
        table.size(name, size)
        while (full := table.crowded()) is not None:
            table.pop(full)


def test_oldest_stranger_makes_room_for_a_peer() -> None:
    table: SharedTable[str, int] = SharedTable(3)
    filled(table, "a", "b", "c")
    table.renew("a")
    filled(table, "p", is_peer=True)
    assert list(table) == ["c", "a", "p"]


def test_peers_go_only_where_no_stranger_is_left() -> None:
    table: SharedTable[str, int] = SharedTable(2)
    filled(table, "p", "q", is_peer=True)
    filled(table, "a")
    assert list(table) == ["p", "q"]
    filled(table, "r", is_peer=True)
    assert list(table) == ["q", "r"]


def test_strangers_have_half_of_the_bytes() -> None:
    table: SharedTable[str, int] = SharedTable(100, 100)
    filled(table, *"abcdefgh", size=20)
    assert (list(table), table.held_bytes) == (["g", "h"], 40)
    filled(table, "p", "q", is_peer=True, size=40)
    assert (list(table), table.held_bytes) == (["h", "p", "q"], 100)


def test_promoted_entry_is_a_peers() -> None:
    table: SharedTable[str, int] = SharedTable(2, 100)
    filled(table, "a", "b", size=20)
    table.promote("a")
    table.promote("nobody")
    filled(table, "c", "d", size=20)
    assert list(table) == ["d", "a"]
    table.pop("a")
    table.pop("d")
    assert (len(table), table.held_bytes) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["stranger", "peer", "promote", "size", "pop"]),
            st.integers(0, 60),
        )
    )
)
def test_any_use_keeps_the_books(steps: list[tuple[int, str, int]]) -> None:
    table: SharedTable[int, int] = SharedTable(4, 100)
    for name, what, size in steps:
        known = name in list(table)
        if what in ("stranger", "peer") and not known:
            table.add(name, 0, what == "peer")
        elif what == "promote":
            table.promote(name)
        elif what == "size" and known:
            table.size(name, size)
        elif what == "pop":
            table.pop(name)
        while (full := table.crowded()) is not None:
            table.pop(full)
        assert len(table) <= 4
        assert 0 <= table.held_bytes <= 100
    for name in list(table):
        table.pop(name)
    assert table.held_bytes == 0
