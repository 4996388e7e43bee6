"""The host's name: its own, and never its machine id."""

from __future__ import annotations

from pathlib import Path

from agent.daemon.host import name


def test_name_is_the_setting_else_the_hosts_with_a_hash_of_its_machine_id(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    bare = name("", machine)
    machine.write_text("0123456789abcdef\n")
    full = name("", machine)
    assert name("sbc-1", machine) == "sbc-1"
    assert full.startswith(f"{bare}-")
    assert "0123456789abcdef" not in full
    machine.write_text("fedcba9876543210\n")
    assert name("", machine) != full
